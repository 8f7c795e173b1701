"""What was paid for the reward: distance, length, variety."""

from __future__ import annotations

from pathlib import Path

from heed.report import figures
from heed.report.measures import COST, in_order
from heed.report.part import Part
from heed.report.parts.rows import known, rows
from heed.report.read import RunView


def read(_: Path, view: RunView) -> Part | None:
    """From what the evaluations measured."""
    names = [name for row in view.policies.values() for name in row if name in COST]
    if not names:
        return None
    policies = list(view.policies)
    return Part(
        name="paid",
        question="cost",
        title="Distance, length, variety",
        template="parts/paid.html",
        values={
            "policies": policies,
            "colours": figures.colours(policies),
            "rows": rows(view.policies, known(in_order(names, COST), COST)),
        },
        json=None,
    )
