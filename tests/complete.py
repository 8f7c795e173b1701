"""Fails unless the parts that everything rests on are covered completely, branches included."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

COMPLETE = ("heed/ops/", "heed/losses/", "heed/config.py", "heed/run.py")
COMPILED = ("heed/ops/compiled.py", "heed/ops/fused.py", "heed/ops/logprobs.py")
"""Not all of these runs where there is no C compiler, and the tests of it are skipped."""


def main(report: str) -> int:
    files = json.loads(Path(report).read_text())["files"]
    built = shutil.which(os.environ.get("CC") or "cc") is not None
    concerned = {
        name: files[name]
        for name in files
        if name.startswith(COMPLETE) and (built or name not in COMPILED)
    }
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
