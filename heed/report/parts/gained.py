"""What was gained: the measures of quality side by side, and who beat whom."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from heed.report import figures
from heed.report.measures import COST, QUALITY, in_order, measure_of, policy_name
from heed.report.part import Part
from heed.report.parts.rows import known, rows
from heed.report.read import RunView
from heed.report.verdict import findings, main_measure, told, verdict


def read(_: Path, view: RunView) -> Part | None:
    """From what the evaluations measured."""
    names = [name for row in view.policies.values() for name in row if name not in COST]
    if not names:
        return None
    policies = list(view.policies)
    counts = {found.n for table in view.policies.values() for found in table.values()}
    return Part(
        name="gained",
        question="better",
        title="What was gained",
        template="parts/gained.html",
        values={
            "policies": policies,
            "colours": figures.colours(policies),
            "answers": _range(counts),
            "rows": rows(view.policies, known(in_order(names, QUALITY), QUALITY)),
            "figure": _figure(view),
            "findings": findings(view),
            "others": [
                (gap, verdict(gap)) for gap in told(view) if gap.measure != main_measure(view.gaps)
            ],
        },
        json=None,
    )


def _figure(view: RunView) -> Markup | None:
    """Every policy's figure by the main measure."""
    measure = main_measure(view.gaps)
    known = {name: row[measure] for name, row in view.policies.items() if measure in row}
    if measure is None or not known:
        return None
    what, colour = measure_of(measure), figures.colours(list(view.policies))
    return figures.listed(
        {policy_name(name): (found, colour[name]) for name, found in known.items()},
        label=", ".join(filter(None, (what.label.lower(), what.unit or what.meaning))),
        description=f"{what.label} of {', '.join(map(policy_name, known))}",
        share=what.share,
    )


def _range(counts: set[int]) -> str:
    """How many values a table's figures rest on."""
    low, high = min(counts, default=0), max(counts, default=0)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
