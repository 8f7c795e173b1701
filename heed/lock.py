"""One process at a time in a directory; who else looks in never keeps it out."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from heed.errors import UserError

LOCK = ".lock"
GLANCES = 3
"""Times that a held lock is tried, a moment apart: `in_use` may hold it for an instant."""


@contextmanager
def locked(directory: Path, what: str = "this run") -> Iterator[None]:
    """Keep a second process out of a directory, which is made; the kernel frees it when this one
    dies, however it dies.

    Raises:
      UserError: another process holds it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOCK).open("a+") as lock:
        try:
            _take(lock)
        except BlockingIOError as error:
            lock.seek(0)
            raise UserError(
                f"{directory} is in use by process {lock.read().strip() or '?'}. "
                f"Wait for it, stop it, or give {what} another directory with --out."
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def in_use(directory: Path) -> bool:
    """Whether a process works on the run in a directory."""
    try:
        with (directory / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _take(lock: IO[str]) -> None:
    """Lock a file for this process alone; BlockingIOError where another keeps it."""
    left = GLANCES
    while True:
        left -= 1
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not left:
                raise
        time.sleep(0.05)
