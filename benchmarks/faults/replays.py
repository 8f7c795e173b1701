"""Every gate's statistic on a thousand replays a strength: power, and false alarms where clean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.catalogue import FAULTS
from benchmarks.faults.fault import POWER, Rate
from heed.files import write_json
from heed.progress import Display
from heed.run import derive_seed

CHUNK = 50
"""Replays between two steps of the progress bar."""


def replay(name: str, strength: float, replays: int, jobs: int) -> dict[str, Any]:
    """How often the gate trips at one strength, and where its statistic lies."""
    chunks = [range(at, min(at + CHUNK, replays)) for at in range(0, replays, CHUNK)]
    label = f"{name} {strength:g}"
    found: list[tuple[bool, float]] = []
    with Display(label, replays, before=0) as bar, ExitStack() as stack:
        over = stack.enter_context(ProcessPoolExecutor(jobs)).map if jobs > 1 else map
        for part in over(partial(_some, name, strength), chunks):
            found += part
            bar(len(found), {})
    statistics = [statistic for _, statistic in found if np.isfinite(statistic)]
    return {
        "strength": strength,
        "tripped": Rate(sum(tripped for tripped, _ in found), len(found)).to_json(),
        "statistic": float(np.median(statistics)) if statistics else None,
    }


def _some(name: str, strength: float, numbers: Sequence[int]) -> list[tuple[bool, float]]:
    found = []
    for number in numbers:
        rng = np.random.default_rng(derive_seed(0, "faults", name, str(strength), number))
        finding = FAULTS[name].replay(strength, rng)
        found.append(
            (False, float("nan")) if finding is None else (finding.tripped, finding.statistic)
        )
    return found


def study(name: str, strengths: Sequence[float], replays: int, jobs: int, out: Path) -> None:
    """All strengths of one fault and its clean replays, into one file."""
    fault = FAULTS[name]
    clean, *faulty = [replay(name, each, replays, jobs) for each in (fault.clean, *strengths)]
    rows = {
        "fault": name,
        "says": fault.says,
        "gate": fault.gate,
        "unit": fault.unit,
        "replays": replays,
        "clean": clean,
        "faulty": faulty,
    }
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / f"{name}.json", rows)
    print(row(rows), flush=True)


def certain(found: dict[str, Any]) -> list[float]:
    """The weakest strength on either side of clean from which on power is surely enough: the lower
    end of its interval, at it and at all that are stronger.
    """
    clean = found["clean"]["strength"]
    reached = []
    for side in (1, -1):
        enough: float | None = None
        own = [each for each in found["faulty"] if (each["strength"] - clean) * side > 0]
        for each in sorted(own, key=lambda row: -abs(row["strength"] - clean)):
            if each["tripped"]["low"] < POWER:
                break
            enough = each["strength"]
        if enough is not None:
            reached.append(enough)
    return reached


def row(found: dict[str, Any]) -> str:
    """One fault as a line of the table."""
    powers = ", ".join(
        f"{each['strength']:g}: {_rate(each['tripped'])}" for each in found["faulty"]
    )
    reached = " and ".join(f"{each:g}" for each in certain(found)) or "none tried"
    return (
        f"| {found['says']} | `{found['gate']}` | {found['unit']} | "
        f"{_rate(found['clean']['tripped'])} | {powers} | {reached} |"
    )


def _rate(rate: dict[str, Any]) -> str:
    return f"{rate['mean']:.3f} [{rate['low']:.3f}, {rate['high']:.3f}]"


HEAD = (
    "| Fault | Gate | Strength in | Trips where clean | Power by strength | Caught from |\n"
    "|---|---|---|---|---|---|"
)


def kept(out: Path) -> list[dict[str, Any]]:
    """What stands in a folder, in the catalogue's order."""
    paths = [out / f"{name}.json" for name in FAULTS]
    return [json.loads(path.read_text("utf-8")) for path in paths if path.exists()]
