"""What was gained: the measures of quality side by side, and who beat whom."""

from __future__ import annotations

from pathlib import Path

from heed.report import figures
from heed.report.measures import COST, QUALITY, in_order
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
            "findings": findings(view),
            "others": [
                (gap, verdict(gap)) for gap in told(view) if gap.measure != main_measure(view.gaps)
            ],
        },
        json=None,
    )


def _range(counts: set[int]) -> str:
    """How many values a table's figures rest on."""
    low, high = min(counts, default=0), max(counts, default=0)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
