"""The environments that peers run in, made where they are not there.

Heed depends on none of them. Each lies in the user's cache, and holds the versions named here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "heed"
PEERS: Mapping[str, tuple[str, ...]] = {
    "trl": ("torch==2.13.0", "trl==1.16.0", "transformers<5.25"),
    "trl-ppo": ("torch==2.13.0", "trl==1.10.0", "transformers<5.25"),
}
"""What is installed, by the peer's name; TRL 1.10 is the last that has PPO."""
FOLDERS = {"trl": "trl-env", "trl-ppo": "trl-1.10"}


def environment(peer: str, folder: Path | None = None) -> Path:
    """The Python of a peer's environment, made in `folder` (by default in the cache) at need."""
    place = folder or CACHE / FOLDERS[peer]
    python = place / "bin" / "python"
    if not _made(place):
        print(f"making {place} with {', '.join(PEERS[peer])}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PEERS[peer]], check=True)
        (place / "made").touch()
    return python


def versions(python: Path) -> dict[str, str]:
    """What a Python has of the packages that speed depends on."""
    code = (
        "import sys, json, importlib.metadata as m\n"
        "names = ('trl', 'torch', 'transformers', 'accelerate')\n"
        "found = {d.metadata['Name'].lower(): d.version for d in m.distributions()}\n"
        "print(json.dumps({'python': sys.version.split()[0],"
        " **{n: found[n] for n in names if n in found}}))"
    )
    said = subprocess.run([str(python), "-c", code], check=True, capture_output=True, text=True)
    found: dict[str, str] = json.loads(said.stdout)
    return found


def _made(place: Path) -> bool:
    """Whether TRL is there: an installation that was cut off is begun again."""
    return (place / "made").exists() or any(place.glob("lib/*/site-packages/trl/__init__.py"))
