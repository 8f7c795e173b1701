"""The demo, stage by stage: `heed run quickstart` in a folder of its own, by what the run wrote.

    python -m benchmarks.demo [--recipe quickstart] [--run DIR]

With `--run`, a run that is finished is read and none is made. Seconds and memory are those of the
stages' markers; what is left of the wall clock is starting and what lies between stages.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import ROOT, busy_seconds, disturbed

GOAL = 240.0
"""Seconds that the whole may take on two idle cores."""


@dataclass(frozen=True)
class Demo:
    """Seconds and bytes of each stage, in the order in which they ended, and the whole."""

    stages: dict[str, tuple[float, int]]
    wall: float
    first_line: float | None = None
    """Seconds from the command to its first line."""
    foreign: float = 0.0


def read(run: Path) -> dict[str, tuple[float, int]]:
    """What the markers of a finished run say."""
    markers = sorted(run.glob("*/done.json"), key=lambda path: path.stat().st_mtime)
    found = {path.parent.name: json.loads(path.read_text("utf-8")) for path in markers}
    return {name: (each["seconds"], each.get("memory") or 0) for name, each in found.items()}


def measure(recipe: str, run: Path) -> Demo:
    """Make the run, in a directory that is not there yet."""
    command = [sys.executable, "-m", "heed", "run", recipe, "--out", str(run)]
    before, own, began = busy_seconds(), _children(), time.perf_counter()
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        heard = time.perf_counter() - began
        rest = process.stdout.read()
    wall = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"heed run {recipe} failed.\n{(first + rest)[-3000:]}")
    others = busy_seconds() - before - (_children() - own)
    return Demo(read(run), wall, heard, max(0.0, others / wall))


def _children() -> float:
    """Seconds that this process's ended children have worked."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def lines(demo: Demo) -> str:
    found = [
        f"  {name:<18} {seconds:7.1f} s  {memory / 1e6:6.0f} MB"
        for name, (seconds, memory) in demo.stages.items()
    ]
    told = "" if demo.first_line is None else f", the first line after {demo.first_line:.1f} s"
    return "\n".join([*found, f"  {'the whole':<18} {demo.wall:7.1f} s{told}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="quickstart")
    parser.add_argument("--run", type=Path, help="a finished run to read in place of making one")
    given = parser.parse_args()
    if given.run is None:
        with tempfile.TemporaryDirectory(prefix="heed-bench-") as folder:
            found = measure(given.recipe, Path(folder) / "run")
    else:
        stages = read(given.run)
        found = Demo(stages, sum(seconds for seconds, _ in stages.values()))
    print(f"{given.recipe}{disturbed(found.foreign)}", lines(found), sep="\n")


if __name__ == "__main__":
    main()
