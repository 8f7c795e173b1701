"""Every fault in full runs of `heed run`, several seeds each: did its gate trip, and no other?

A run's seed is that of its world too, so people and prompts differ. The clean run of a seed comes
first; a fault begins with a copy of it, of which the stages that the fault concerns are taken out.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults.catalogue import FAULTS
from benchmarks.faults.fault import Rate
from benchmarks.faults.planted import planted
from benchmarks.faults.plants import PLANTS
from heed.config import load_recipe
from heed.files import write_json
from heed.progress import Display
from heed.run import GATES

CLEAN = "clean"
RECIPE = Path(__file__).parent / "planted.yaml"
FINE, REFUSED = 0, 2
"""Exit codes: a run that came to its end, and one that a gate (or a wrong setting) ended."""


@dataclass(frozen=True)
class Task:
    """One run: a fault, or none, under one seed."""

    fault: str
    seed: int
    strength: float | None

    @property
    def label(self) -> str:
        return f"{self.fault}-{self.seed}"


def tasks(faults: Sequence[str], seeds: Sequence[int], strength: float | None) -> list[Task]:
    """Seed by seed, the clean run first: the others begin with its stages."""

    def of(name: str, seed: int) -> Task:
        return Task(name, seed, PLANTS[name].strength if strength is None else strength)

    return [
        task
        for seed in seeds
        for task in [
            Task(CLEAN, seed, None),
            *(of(name, seed) for name in faults if name != CLEAN),
        ]
    ]


def work(todo: Sequence[Task], out: Path) -> None:
    """Every run that has left no result yet, one after the other, with what it found printed."""
    left = [task for task in todo if not _result(task, out).exists()]
    with Display("runs", len(todo), before=len(todo) - len(left)) as bar:
        for done, task in enumerate(left, start=len(todo) - len(left) + 1):
            found = carry_out(task, out)
            write_json(_result(task, out), found)
            bar(done)
            print(json.dumps(found), flush=True)


def carry_out(task: Task, out: Path) -> dict[str, Any]:
    """One run in a process of its own; a fault's folder goes when it is over, its log stays. A
    clean run that was killed goes on.
    """
    directory = out / "work" / task.label
    settings = [f"seed={task.seed}", f"world.seed={task.seed}"]
    if task.strength is not None:
        _begin(task, directory, out)
        settings += PLANTS[task.fault].settings(task.strength)
    overrides = [part for setting in settings for part in ("--set", setting)]
    log = out / "work" / f"{task.label}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    code = planted(
        None if task.fault == CLEAN else task.fault,
        task.strength or 0.0,
        task.seed,
        [str(RECIPE), "--out", str(directory), *overrides],
        log,
    )
    found = {
        "fault": task.fault,
        "seed": task.seed,
        "strength": task.strength,
        "code": code,
        "stopped": _stopped(directory),
        "tripped": list(_tripped(directory)),
        "seconds": round(time.monotonic() - began, 1),
    }
    if task.fault != CLEAN:
        shutil.rmtree(directory)
    return {**found, "caught": caught(found)}


def _begin(task: Task, directory: Path, out: Path) -> None:
    """A copy of the clean run, without the stages in which the fault is at work."""
    clean = out / "work" / Task(CLEAN, task.seed, None).label
    if not clean.exists():  # its result is known, its folder is gone
        carry_out(Task(CLEAN, task.seed, None), out)
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(clean, directory)
    stages = [stage.name for stage in load_recipe(str(RECIPE)).stages]
    for name in stages[stages.index(PLANTS[task.fault].begins) :]:
        shutil.rmtree(directory / name, ignore_errors=True)


def _tripped(directory: Path) -> Iterator[dict[str, Any]]:
    """What tripped, each gate of a stage once."""
    for path in sorted(directory.glob(f"*/{GATES}")):
        for line in path.read_text("utf-8").splitlines():
            row = json.loads(line)
            if row["tripped"]:
                kept = ("gate", "step", "statistic", "threshold", "says")
                yield {"stage": path.parent.name, **{key: row[key] for key in kept}}


def _stopped(directory: Path) -> bool:
    """Whether a training was ended before its time."""
    marks = [json.loads(path.read_text("utf-8")) for path in directory.glob("*/done.json")]
    return any("stopped" in mark["summary"] for mark in marks)


def caught(found: dict[str, Any]) -> bool:
    """Whether a fault's own gate tripped. A clean run is caught where it did not come to its end.

    Raises:
      RuntimeError: the run broke for another reason; its log says why.
    """
    if found["code"] not in (FINE, REFUSED):
        raise RuntimeError(f"{found['fault']}-{found['seed']} ended with {found['code']}")
    if found["fault"] == CLEAN:
        return found["code"] != FINE or found["stopped"]
    return FAULTS[found["fault"]].gate in {row["gate"] for row in found["tripped"]}


def _result(task: Task, out: Path) -> Path:
    at = "" if task.strength is None else f"-at-{task.strength:g}"
    return out / f"{task.label}{at}.json"


# The table

HEAD = (
    "| Planted | Strength | Unit | Runs | Caught by its gate | Refused or stopped | "
    "What else tripped (runs) |\n|---|---|---|---|---|---|---|"
)


def rows(out: Path) -> Iterator[str]:
    """A line for every fault and strength of which there are results."""
    found = [json.loads(path.read_text("utf-8")) for path in sorted(out.glob("*.json"))]
    for name in [CLEAN, *PLANTS]:
        own = [each for each in found if each["fault"] == name]
        for strength in dict.fromkeys(each["strength"] for each in own):
            yield row([each for each in own if each["strength"] == strength])


def row(found: Sequence[dict[str, Any]]) -> str:
    """The runs of one fault at one strength."""
    fault, strength = found[0]["fault"], found[0]["strength"]
    clean = fault == CLEAN
    hits = Rate(sum(each["caught"] for each in found), len(found))
    own = None if clean else FAULTS[fault].gate
    others: dict[str, int] = {}
    for each in found:
        for gate in sorted({row["gate"] for row in each["tripped"]} - {own}):
            others[gate] = others.get(gate, 0) + 1
    ended = sum(each["code"] != FINE or each["stopped"] for each in found)
    low, high = hits.interval
    told = f"{hits.hits} of {hits.n} [{low:.2f}, {high:.2f}]"
    return (
        f"| {'nothing' if clean else FAULTS[fault].says} | {'' if clean else f'{strength:g}'} | "
        f"{'' if clean else PLANTS[fault].unit} | {len(found)} | "
        f"{'' if clean else f'{told} `{own}`'} | {ended} | "
        f"{', '.join(f'`{gate}` ({count})' for gate, count in others.items()) or 'nothing'} |"
    )
