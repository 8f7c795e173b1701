"""The command line of `benchmarks.faults`; see the package's docstring."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from benchmarks.faults import replays, runs
from benchmarks.faults.catalogue import FAULTS
from benchmarks.faults.figure import draw
from benchmarks.faults.plants import PLANTS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults")
    verbs = parser.add_subparsers(dest="verb", required=True)
    asked = verbs.add_parser("replays", help="power and false alarms of every gate")
    asked.add_argument("--only", choices=FAULTS, action="append", help="may be given many times")
    asked.add_argument("--strength", type=float, action="append", help="in place of the grid")
    asked.add_argument("--replays", type=int, default=1000)
    asked.add_argument("--jobs", type=int, default=1)
    asked.add_argument("--out", type=Path, default=Path("runs/faults"))
    whole = verbs.add_parser("runs", help="every fault in full runs, and clean ones")
    whole.add_argument("--only", choices=[runs.CLEAN, *PLANTS], action="append")
    whole.add_argument("--strength", type=float, help="in place of each fault's own")
    whole.add_argument("--seeds", type=int, default=5)
    whole.add_argument("--first", type=int, default=0, help="the first seed")
    whole.add_argument("--out", type=Path, default=Path("runs/faults"))
    table = verbs.add_parser("table", help="what was measured, as Markdown")
    table.add_argument("--out", type=Path, default=Path("runs/faults"))
    table.add_argument("--figure", type=Path, help="an SVG or PNG to draw")
    VERBS[(settings := parser.parse_args()).verb](settings)


def _replays(settings: argparse.Namespace) -> None:
    print(shlex.join(["python", "-m", "benchmarks.faults", *sys.argv[1:]]))
    print(replays.HEAD)
    for name in settings.only or FAULTS:
        strengths = settings.strength or FAULTS[name].strengths
        replays.study(name, strengths, settings.replays, settings.jobs, settings.out / "replays")


def _runs(settings: argparse.Namespace) -> None:
    seeds = range(settings.first, settings.first + settings.seeds)
    todo = runs.tasks(settings.only or list(PLANTS), seeds, settings.strength)
    runs.work(todo, settings.out / "runs")
    print(runs.HEAD, *runs.rows(settings.out / "runs"), sep="\n")


def _table(settings: argparse.Namespace) -> None:
    found = replays.kept(settings.out / "replays")
    print(replays.HEAD)
    for each in found:
        print(replays.row(each))
    print()
    print(runs.HEAD, *runs.rows(settings.out / "runs"), sep="\n")
    if settings.figure:
        draw(found, settings.figure)


VERBS = {"replays": _replays, "runs": _runs, "table": _table}

if __name__ == "__main__":
    main()
