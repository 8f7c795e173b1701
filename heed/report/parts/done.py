"""What was done: every stage, what it took, and its own plain figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heed.report.measures import number
from heed.report.part import Part
from heed.report.read import RunView


def read(_: Path, view: RunView) -> Part | None:
    """From the stages' markers."""
    if not view.stages:
        return None
    return Part(
        name="done",
        question="appendix",
        title="What was done",
        template="parts/done.html",
        values={"stages": [(stage, _facts(stage.summary)) for stage in view.stages]},
        json=None,
    )


def _facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A stage's plain figures and words, for one line under its name."""
    facts = []
    for name, value in summary.items():
        if isinstance(value, bool) or value is None or name == "tokens":
            continue
        if isinstance(value, int):
            facts.append((name.replace("_", " "), f"{value:,}"))
        elif isinstance(value, float):
            facts.append((name.replace("_", " "), number(value)))
        elif isinstance(value, str):
            facts.append((name.replace("_", " "), value))
    return facts
