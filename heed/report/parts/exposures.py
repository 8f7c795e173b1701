"""Made-up facts, by how often pretraining showed what was asked."""

from __future__ import annotations

from pathlib import Path

from heed.report import figures
from heed.report.measures import SHARE, in_order
from heed.report.part import Part
from heed.report.parts.rows import grouped
from heed.report.read import RunView

EXPOSURES = {"seen_often": "Seen often", "seen_once": "Seen once", "never": "Never seen"}
OUTCOMES = {"correct": "Right", "unknown": "Says it does not know", "wrong": "Wrong"}


def read(_: Path, view: RunView) -> Part | None:
    """From what the evaluations measured."""
    found = in_order([key for table in view.hallucination.values() for key in table], EXPOSURES)
    if not found:
        return None
    policies = list(view.hallucination)
    titles = {key: EXPOSURES.get(key, key.replace("_", " ")) for key in found}
    return Part(
        name="exposures",
        question="cost",
        title="Made-up facts",
        template="parts/exposures.html",
        values={
            "policies": policies,
            "colours": figures.colours(policies),
            "rows": grouped(view.hallucination, titles, OUTCOMES, SHARE),
        },
        json=None,
    )
