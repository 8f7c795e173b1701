"""Estimates as stages write them into JSON: a figure, its interval, what it rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from heed.stats.intervals import Estimate

Table = dict[str, dict[str, Estimate]]
"""Estimates by two names, such as policy and measure."""


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


def tables(found: Any) -> Table:
    """The estimates of several tables by name."""
    rows = found.items() if isinstance(found, Mapping) else ()
    return {name: estimates(table) for name, table in rows}


def surely(found: Estimate | None) -> int:
    """1 where an estimate lies above 0 beyond its interval, -1 where below, 0 where neither."""
    if found is None:
        return 0
    return int(found.low > 0) - int(found.high < 0)
