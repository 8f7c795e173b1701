"""`heed run` with a fault planted in its process.

    python -m benchmarks.faults.planted FAULT STRENGTH RECIPE --out RUN [--set KEY=VALUE ...]

What follows the strength is `heed run`'s.
"""

from __future__ import annotations

import sys

from benchmarks.faults.plants import PLANTS
from heed.cli.main import app


def main(fault: str, strength: str, *arguments: str) -> None:
    PLANTS[fault].wrap(float(strength))
    app(["run", *arguments])


if __name__ == "__main__":
    main(*sys.argv[1:])
