"""`heed run` with a fault planted in its process.

    python -m benchmarks.faults.planted FAULT STRENGTH SEED RECIPE --out RUN [--set KEY=VALUE ...]

SEED is the world's. What follows it is `heed run`'s.
"""

from __future__ import annotations

import sys

from benchmarks.faults.plants import PLANTS
from heed.cli.main import app


def main(fault: str, strength: str, seed: str, *arguments: str) -> None:
    settings = PLANTS[fault].wrap(float(strength), int(seed)) or ()
    own = [part for setting in settings for part in ("--set", setting)]
    app(["run", *arguments, *own])


if __name__ == "__main__":
    main(*sys.argv[1:])
