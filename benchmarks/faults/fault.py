"""A fault, what becomes of it in a replay, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from heed.gates.finding import Finding

POWER, FALSE_ALARMS = 0.95, 0.02
"""What a gate must reach, and what it must not pass in clean replays."""
Replay = Callable[[float, np.random.Generator], Finding | None]
"""From a strength to what the gate finds in one draw of such data."""


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong, the gate that should see it, and how to make it happen."""

    says: str
    gate: str
    """The gate's name in a recipe's `gates`."""
    unit: str
    """What a strength is measured in."""
    clean: float
    """The strength at which nothing is wrong."""
    strengths: tuple[float, ...]
    """The grid, from the weakest to the strongest."""
    replay: Replay


@dataclass(frozen=True)
class Rate:
    """How often something happened, with its exact (Clopper-Pearson) interval of 95%."""

    hits: int
    n: int

    @property
    def mean(self) -> float:
        return self.hits / self.n

    @property
    def interval(self) -> tuple[float, float]:
        found = stats.binomtest(self.hits, self.n).proportion_ci(0.95, method="exact")
        return float(found.low), float(found.high)

    def to_json(self) -> dict[str, Any]:
        low, high = self.interval
        return {"hits": self.hits, "n": self.n, "mean": self.mean, "low": low, "high": high}

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.mean:.3f} [{low:.3f}, {high:.3f}]"
