"""Metre: how near a line comes to iambic pentameter, x / x / x / x / x / (and one x more at most).

A word of one syllable takes a stress or leaves it; of a longer one, each syllable that the
dictionary stresses (1) has to fall on an even place and each unstressed one (0) on an odd place; a
weak stress (2) may fall on either. Of several pronunciations the best one counts, for each word.
A word that the dictionary does not know cannot be scanned: its line scores 0.

It hears stresses and nothing else. Ten words of one syllable always scan, so it wants a reward for
sense beside it.
"""

from __future__ import annotations

import re

from heed.rewards.pronouncing import stresses
from heed.rewards.verifiable import Score

SYLLABLES = 10
WORD = re.compile(r"[a-z][a-z']*")


def metre(text: str) -> float:
    """The share of right syllables, meaned over the text's lines; 0 for an empty text."""
    lines = [line for line in text.splitlines() if line.strip()]
    return sum(map(line_metre, lines)) / len(lines) if lines else 0.0


def line_metre(line: str) -> float:
    """Right syllables / max(10, syllables) in the scansion that suits the line best; 1 is perfect.

    Eleven syllables with the last one unstressed (a feminine ending) are right too; what stands
    beyond is wrong.
    """
    found = [_spoken(word.strip("'")) for word in WORD.findall(line.lower().replace("’", "'"))]
    if not all(found):
        return 0.0
    # Syllables so far -> right ones among them at best: what follows depends on nothing else.
    best = {0: 0}
    for patterns in found:
        after: dict[int, int] = {}
        for at, right in best.items():
            for pattern in patterns:
                end = at + len(pattern)
                after[end] = max(after.get(end, 0), right + _right(pattern, at))
        best = after
    return max(right / max(SYLLABLES, syllables) for syllables, right in best.items())


def metrical(whole: bool) -> Score:
    """The share of right syllables, or with `whole` 1 for nothing but perfect lines, else 0."""
    if whole:
        return lambda completion: float(metre(completion.text) == 1.0)
    return lambda completion: metre(completion.text)


def _spoken(word: str) -> tuple[str, ...]:
    """The stresses of each pronunciation of a word or, of a possessive, of its noun."""
    return stresses().get(word) or stresses().get(word.removesuffix("'s"), ())


def _right(pattern: str, at: int) -> int:
    """Syllables of a word, the first of which is number `at` of its line, that stand as they
    should.
    """
    if len(pattern) == 1:
        return int(at <= SYLLABLES)
    return sum(
        place <= SYLLABLES and stress in ("2", "01"[place % 2])
        for place, stress in enumerate(pattern, start=at)
    )
