"""A part of the page: what one stage or measure has to say, under one of the reader's questions.

A new part is a file in `parts/` with a function that reads what the run left, a template beside
it, and a place in `parts/__init__.py: PARTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from heed.report.read import RunView

Question = Literal["better", "whom", "cost", "trust", "next", "appendix"]
QUESTIONS: Mapping[Question, str] = {
    "better": "Is it better?",
    "whom": "For whom?",
    "cost": "What did it cost?",
    "trust": "Can the reward be trusted?",
    "next": "What next?",
}
"""In the order of the page; the appendix, which answers none, stands behind them."""


@dataclass(frozen=True, slots=True)
class Part:
    """A section of the page and what report.json says of it."""

    name: str
    """Its key in report.json."""
    question: Question
    title: str
    template: str
    """A template of heed/report/parts, which is given `values`. Titles stand outside of it; its own
    headings are written as h3, and lie one below the title on the page.
    """
    values: Mapping[str, Any]
    json: Any
    """What report.json holds under the name; None where other keys of it hold all."""
    findings: tuple[str, ...] = field(default=())
    """Sentences for the head of its question: what a reader in a hurry must know."""
    advice: tuple[str, ...] = field(default=())
    """What to do next, for the page's last question."""


ReadPart = Callable[[Path, RunView], Part | None]
"""A run's directory and what was read of it -> the part, or None where there is nothing to say."""
