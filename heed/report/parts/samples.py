"""The policies' answers to some held-out prompts, side by side."""

from __future__ import annotations

from pathlib import Path

from heed.report import figures
from heed.report.part import Part
from heed.report.read import RunView

MOST = 24


def read(_: Path, view: RunView) -> Part | None:
    """From what the evaluations showed."""
    if not view.samples:
        return None
    return Part(
        name="samples",
        question="appendix",
        title="Answers, side by side",
        template="parts/samples.html",
        values={
            "samples": view.samples[:MOST],
            "all": len(view.samples),
            "colours": figures.colours(list(view.policies)),
        },
        json=None,
    )
