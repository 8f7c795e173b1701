"""What stages left for a part: their JSON files, and the estimates in them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from heed.report.read import RunView
from heed.stats.intervals import Estimate


def left_by(directory: Path, view: RunView, kind: str, name: str) -> Iterator[dict[str, Any]]:
    """The JSON object of that name of every finished stage of a kind that left one it can read."""
    for stage in view.stages:
        path = directory / stage.name / name
        if stage.kind == kind and stage.done and path.exists():
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                view.notes.append(f"{stage.name}/{name} cannot be read and is not shown.")
                continue
            if isinstance(found, dict):
                yield found


def merged(found: list[dict[str, Any]], key: str) -> dict[str, Any]:
    """What several files say under one key, by policy."""
    said = [value for each in found if isinstance(value := each.get(key), Mapping)]
    return {name: value for each in said for name, value in each.items()}


def estimate(found: Any) -> Estimate | None:
    """An estimate as a stage wrote it; None for what is none."""
    if not isinstance(found, Mapping) or not {"mean", "low", "high", "n"} <= found.keys():
        return None
    figures = [found[key] for key in ("mean", "low", "high")]
    n = found["n"]
    if not isinstance(n, int) or not all(isinstance(x, float | int | None) for x in figures):
        return None
    mean, low, high = (math.nan if x is None else float(x) for x in figures)
    return Estimate(mean, low, high, n)


def estimates(table: Any) -> dict[str, Estimate]:
    """The estimates of a table by name."""
    rows = table.items() if isinstance(table, Mapping) else ()
    return {name: found for name, value in rows if (found := estimate(value)) is not None}


def tables(found: Any) -> dict[str, dict[str, Estimate]]:
    """The estimates of several tables by name."""
    rows = found.items() if isinstance(found, Mapping) else ()
    return {name: estimates(table) for name, table in rows}


def surely(found: Estimate | None) -> int:
    """1 where an estimate lies above 0 beyond its interval, -1 where below, 0 where neither."""
    if found is None:
        return 0
    return int(found.low > 0) - int(found.high < 0)
