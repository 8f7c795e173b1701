"""Hashes of files."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path


def sha256(path: Path) -> str:
    """A file's hash in hex, read a block at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(partial(file.read, 1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
