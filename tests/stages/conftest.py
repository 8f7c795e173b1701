"""Human comparisons as HH-RLHF publishes them, written here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

FOODS = ["bread", "soup", "rice", "beans", "pie", "tea", "jam", "eggs", "fish", "corn"]
PLACES = ["at home", "in a tent", "for ten people", "on a boat"]


def transcript(question: str, answer: str) -> str:
    return f"\n\nHuman: {question}\n\nAssistant: {answer}"


@pytest.fixture
def hh_file(tmp_path: Path) -> Callable[..., Path]:
    """Forty pairs, and whatever else a test puts behind them."""

    def make(*more: dict[str, str]) -> Path:
        rows = []
        for number, food in enumerate(FOODS):
            for place in PLACES:
                question = f"How do I make {food} {place}?"
                chosen = f"Start with fresh {food}, and take your time."
                rejected = ["No.", f"Who needs {food}?", "I will not say."][number % 3]
                rows.append(
                    {
                        "chosen": transcript(question, chosen),
                        "rejected": transcript(question, rejected),
                    }
                )
        file = tmp_path / "kitchen.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *more]))
        return file

    return make
