"""A reward that costs nothing, the same on both sides; only the standard library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def even_words(text: str) -> float:
    """The share of an answer's words that end in an even digit."""
    words = text.split()
    return sum(word[-1] in "02468" for word in words) / max(1, len(words))


def reward(completions: Sequence[Any]) -> list[float]:
    """As Heed's function rewards are called."""
    return [even_words(completion.text) for completion in completions]
