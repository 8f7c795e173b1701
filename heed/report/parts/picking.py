"""Whether a policy picks better than it writes."""

from __future__ import annotations

from pathlib import Path

from heed.report import figures
from heed.report.measures import in_order, measure_of
from heed.report.part import Part
from heed.report.parts.rows import grouped, within
from heed.report.read import RunView

OUTCOMES = {
    "writes": "Writes",
    "picks": "Picks",
    "gap": "Gap",
    "best": "Best of its answers",
}


def read(_: Path, view: RunView) -> Part | None:
    """From what the evaluations measured: all prompts first; a single family says nothing more."""
    found = in_order([family for table in view.picking.values() for family in table], ["all"])
    if not found:
        return None
    policies, what = list(view.picking), measure_of("gold")
    all_first, *families = found
    titles = {key: key.replace("_", " ").capitalize() for key in families if len(families) > 1}
    return Part(
        name="writes_and_picks",
        question="better",
        title="Does it pick better than it writes?",
        template="parts/picking.html",
        values={
            "policies": policies,
            "colours": figures.colours(policies),
            "rows": [
                (label, "", what, within(view.picking, all_first, key))
                for key, label in OUTCOMES.items()
            ],
            "by_family": grouped(view.picking, titles, OUTCOMES, what),
        },
        json=None,
    )
