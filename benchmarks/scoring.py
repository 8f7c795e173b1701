"""A reward that costs nothing, the same on both sides; only the standard library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def low_words(text: str) -> float:
    """The share of an answer's words that end in a digit below 5."""
    words = text.split()
    return sum(word[-1] in "01234" for word in words) / max(1, len(words))


def reward(completions: Sequence[Any]) -> list[float]:
    """As Heed's function rewards are called."""
    return [low_words(completion.text) for completion in completions]
