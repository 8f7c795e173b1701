"""Whether a policy picks better than it writes."""

from __future__ import annotations

from pathlib import Path

from heed.report import figures
from heed.report.measures import in_order, measure_of
from heed.report.part import Part
from heed.report.parts.rows import grouped
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
    policies = list(view.picking)
    shown = found if len(found) > 2 else found[:1]
    titles = {key: "all prompts" if key == "all" else key.replace("_", " ") for key in shown}
    return Part(
        name="writes_and_picks",
        question="better",
        title="Does it pick better than it writes?",
        template="parts/picking.html",
        values={
            "policies": policies,
            "colours": figures.colours(policies),
            "rows": grouped(
                view.picking,
                {key: title.capitalize() for key, title in titles.items()},
                OUTCOMES,
                measure_of("gold"),
            ),
        },
        json=None,
    )
