"""Runs made by hand, for what is said of them."""

from __future__ import annotations

from typing import Any

from heed.report.part import Part
from heed.report.read import Gap, RunView, StageView
from heed.stats.intervals import Estimate

UP, DOWN, OPEN = (0.5, 0.4, 0.6), (-0.5, -0.6, -0.4), (0.1, -0.2, 0.4)


def est(mean: float, low: float, high: float, n: int = 100) -> Estimate:
    return Estimate(mean, low, high, n)


def gap(
    better: str,
    worse: str = "sft",
    found: tuple[float, float, float] = UP,
    measure: str = "gold",
) -> Gap:
    return Gap(better, worse, measure, est(*found))


def stage(
    name: str, kind: str = "", *, done: bool = True, rows: Any = (), **settings: Any
) -> StageView:
    return StageView(
        name=name,
        kind=kind or name,
        done=done,
        seconds=1.0,
        memory=None,
        tokens=None,
        summary={},
        rows=list(rows),
        settings=settings,
    )


def run(*gaps: Gap, **fields: Any) -> RunView:
    """A run with these comparisons; other fields of the view by name."""
    given: dict[str, Any] = {"stages": [], "folder": "demo", **fields}
    return RunView(
        name="by hand", recipe={}, recipe_text="", provenance={}, gaps=list(gaps), **given
    )


def part(name: str, json: Any = None, **fields: Any) -> Part:
    given: dict[str, Any] = {"question": "cost", **fields}
    return Part(name=name, title="", template="", values={}, json=json, **given)


def parting(length: int = 60, fall: float = 1.0) -> list[dict[str, float]]:
    """Rows of a training in which the proxy rises by 1 and gold falls by `fall`."""
    return [
        {
            "step": step,
            "proxy": step / length + 0.01 * (-1) ** step,
            "gold": -fall * step / length + 0.01 * (-1) ** step,
        }
        for step in range(1, length + 1)
    ]
