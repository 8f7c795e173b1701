"""Every measure by family of prompts: what is gained on the whole may be lost on some."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from markupsafe import Markup

from heed.report import evidence, figures
from heed.report.measures import COST, QUALITY, in_order, measure_of, policy_name
from heed.report.part import Part
from heed.report.parts.rows import by_family, within
from heed.report.read import RunView


def read(_: Path, view: RunView) -> Part | None:
    """From what the evaluations measured by family."""
    found = [name for table in view.families.values() for row in table.values() for name in row]
    keys = in_order(found, [*QUALITY, *COST])
    if not keys:
        return None
    policies = list(view.families)
    return Part(
        name="by_family",
        question="whom",
        title="By family of prompts",
        template="parts/families.html",
        values={
            "policies": policies,
            "colours": figures.colours(policies),
            "figure": _figure(view, keys[0]),
            "paired": bool(view.prompt_families),
            **_apart(view),
            "tables": [
                (
                    measure_of(key).label,
                    by_family(view.families, key, measure_of(key), _families(view, key)),
                )
                for key in keys
            ],
        },
        json=None,
    )


def _apart(view: RunView) -> dict[str, Any]:
    """How far each policy lies above the one to beat, family by family."""
    found, gaps = evidence.by_family(view), evidence.chief(view)
    if not found:
        return {"apart": None, "beside": ""}
    names = dict.fromkeys(family for table in found.values() for family in table)
    beside = policy_name(gaps[0].worse)
    what = measure_of(gaps[0].measure)
    drawn = figures.dots(
        {
            family.replace("_", " "): {n: t[family] for n, t in found.items() if family in t}
            for family in names
        },
        figures.colours(list(view.families)),
        label=f"{what.label.lower()} {'below' if what.better < 0 else 'above'} {beside}",
        description=f"{what.label} beside {beside} by family",
        share=what.share,
        level=0.0,
    )
    return {"apart": drawn, "beside": beside}


def _families(view: RunView, key: str) -> list[str]:
    """The families in which a measure is known of any policy."""
    names = dict.fromkeys(
        family
        for table in view.families.values()
        for family, row in table.items()
        if key in row and math.isfinite(row[key].mean)
    )
    return list(names)


def _figure(view: RunView, key: str) -> Markup:
    what = measure_of(key)
    return figures.dots(
        {
            family.replace("_", " "): within(view.families, family, key)
            for family in _families(view, key)
        },
        figures.colours(list(view.families)),
        label=what.label.lower() + (f", {what.unit}" if what.unit else ""),
        description=f"{what.label} by family for "
        + ", ".join(policy_name(name) for name in view.families),
        share=what.share,
    )
