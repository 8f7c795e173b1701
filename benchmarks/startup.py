"""How long commands take to say what they can do, Heed's beside TRL's.

    python -m benchmarks.startup [--rounds 7]

Each command is a process of its own, in turn; what counts is the wall clock until it ends. One run
of each before warms up the disk's cache.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.harness import Comparison, Measured, busy_seconds
from benchmarks.peers import environment

OURS: Mapping[str, Sequence[str]] = {
    "heed --help": ("--help",),
    "heed train --help": ("train", "--help"),
    "heed label --help": ("label", "--help"),
}
THEIRS: Mapping[str, Sequence[str]] = {
    "trl --help": ("--help",),
    "trl dpo --help": ("dpo", "--help"),
}


def commands(*, peers: bool = True) -> dict[str, list[str]]:
    heed = Path(sys.executable).with_name("heed")
    start = [str(heed)] if heed.exists() else [sys.executable, "-m", "heed"]
    found = {name: [*start, *rest] for name, rest in OURS.items()}
    if peers:
        trl = environment("trl").with_name("trl")
        found.update({name: [str(trl), *rest] for name, rest in THEIRS.items()})
    return found


def once(command: Sequence[str]) -> Measured:
    """Run a command to its end; its clock, its memory, and the load beside it."""
    before, began = busy_seconds(), time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ
    ) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed.\n{said.decode(errors='replace')[-2000:]}")
    others = busy_seconds() - before - usage.ru_utime - usage.ru_stime
    return Measured(wall, max(0.0, others / wall), usage.ru_maxrss * 1024)


def measure(rounds: int, asked: Mapping[str, Sequence[str]] | None = None) -> Comparison:
    some = asked or commands()
    seen = [{name: once(command) for name, command in some.items()} for _ in range(rounds + 1)][1:]
    kept = {name: [each[name] for each in seen] for name in some}
    return Comparison("start-up", kept, frozenset(OURS))


def lines(found: Comparison) -> str:
    return "\n".join(
        f"  {name:<18} {1000 * found.seconds(name):6.0f} ms  {found.peak(name) / 1e6:5.0f} MB"
        for name in found.rounds
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    print(lines(measure(parser.parse_args().rounds)))


if __name__ == "__main__":
    main()
