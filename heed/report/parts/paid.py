"""What was paid for the reward: distance, length, variety."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from heed.report import evidence, figures, league_figures
from heed.report.measures import COST, in_order
from heed.report.part import Part
from heed.report.parts.rows import known, rows
from heed.report.read import RunView


def read(directory: Path, view: RunView) -> Part | None:
    """From what the evaluations measured; folded where costs.json holds a fuller table."""
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
            "folded": any((directory / each.name / "costs.json").exists() for each in view.stages),
            "figure": _figure(view),
        },
        json=None,
    )


def _figure(view: RunView) -> Markup | None:
    """What every policy gained against the KL it paid."""
    gaps = evidence.chief(view)
    priced = {
        gap.better: (view.policies[gap.better]["kl"], gap.difference)
        for gap in gaps
        if "kl" in view.policies.get(gap.better, {})
    }
    if not priced:
        return None
    colour = figures.colours(list(view.policies))
    return league_figures.price(priced, gaps[0].measure, gaps[0].worse, colour)
