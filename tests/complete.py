"""Fails unless the parts that everything rests on are covered completely, branches included."""

from __future__ import annotations

import json
import sys
from pathlib import Path

COMPLETE = ("heed/ops/", "heed/losses/", "heed/config.py", "heed/run.py")


def main(report: str) -> int:
    files = json.loads(Path(report).read_text())["files"]
    concerned = {name: files[name] for name in files if name.startswith(COMPLETE)}
    holes = {
        name: [*found["missing_lines"], *found["missing_branches"]]
        for name, found in concerned.items()
        if found["missing_lines"] or found["missing_branches"]
    }
    for name, lines in holes.items():
        sys.stderr.write(f"{name} is not covered completely: {lines}\n")
    return 1 if holes or not concerned else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
