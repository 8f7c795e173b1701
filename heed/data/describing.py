"""What texts are like, in words for a person."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def listed(names: Sequence[str]) -> str:
    """a, b and c."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def of_length(texts: Sequence[str]) -> str:
    """Half and 19 of 20 of the texts are no longer than so many words and characters."""
    words = [len(text.split()) for text in texts]
    characters = [len(text) for text in texts]
    half, most = (
        f"{_many(_at(words, share), 'word')} ({_many(_at(characters, share), 'character')})"
        for share in (0.5, 0.95)
    )
    return f"median {half}, 95% up to {most}"


def share(count: int, of: int) -> str:
    """A count and what it is in per cent."""
    return f"{count:,} ({count / of:.0%})"


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _at(values: Sequence[int], share: float) -> int:
    return int(np.quantile(values, share, method="inverted_cdf"))
