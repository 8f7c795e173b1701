"""Self-BLEU: how much the texts of a set are alike.

Each text in turn is the hypothesis and all others are its references (Zhu et al. 2018, "Texygen",
arXiv:1802.01886). BLEU is Papineni et al.'s (2002), the geometric mean of clipped precisions times
the brevity penalty,

    BLEU = exp(min(0, 1 - r / c)) * (prod_n p_n)^(1 / N),    p_n = clipped_n / ngrams_n,

with orders n = 1..N, N = min(4, words), c the text's words and r the nearest length among the
references (the shorter of two as near). An order without a match counts .1 of one (epsilon
smoothing, Chen & Cherry 2014, method 1). Words are what stands between white space. 1 is a copy of
another text; sets of equal size compare.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from heed.stats.diversity import ngrams

ORDERS = 4
EPSILON = 0.1
Gram = tuple[str, ...]


def self_bleu(texts: Sequence[str]) -> list[float]:
    """BLEU of each text against all others, in [0, 1]; nan of a text that stands alone.

    A text without words is as good as a copy where another has none, and 0 otherwise. One pass over
    the words: of every n-gram the two highest counts decide what any text is clipped at.
    """
    if len(texts) < 2:
        return [math.nan] * len(texts)
    lengths = [len(text.split()) for text in texts]
    logs = [0.0] * len(texts)
    for n in range(1, ORDERS + 1):
        counts = [Counter(ngrams(text, n)) for text in texts]
        highest = _two_highest(counts)
        for at, own in enumerate(counts):
            if own:
                order = min(ORDERS, lengths[at])
                logs[at] += math.log(_precision(own, highest)) / order
    sizes = sorted(lengths)
    return [
        _brevity(length, sizes) * math.exp(log) if length else float(sizes[1] == 0)
        for length, log in zip(lengths, logs, strict=True)
    ]


def _two_highest(counts: Sequence[Counter[Gram]]) -> dict[Gram, tuple[int, int]]:
    """The highest count of each n-gram in any text, and the next highest in another text."""
    highest: dict[Gram, tuple[int, int]] = {}
    for own in counts:
        for gram, count in own.items():
            first, second = highest.get(gram, (0, 0))
            highest[gram] = (max(first, count), max(second, min(first, count)))
    return highest


def _precision(own: Counter[Gram], highest: dict[Gram, tuple[int, int]]) -> float:
    """The share of a text's n-grams that one other text holds as often; smoothed above 0.

    The highest count among the others is the highest of all, unless it is this text's own.
    """
    clipped = 0
    for gram, count in own.items():
        first, second = highest[gram]
        clipped += min(count, second if count == first else first)
    return (clipped or EPSILON) / own.total()


def _brevity(length: int, sizes: Sequence[int]) -> float:
    """exp(1 - r / c) where the nearest other length r is above this text's c, else 1.

    `sizes` are the lengths of all texts, sorted, this one's own among them.
    """
    at = bisect_left(sizes, length)
    others = [*sizes[max(0, at - 1) : at], *sizes[at + 1 : at + 2]]
    nearest = min(others, key=lambda size: (abs(size - length), size))
    return math.exp(min(0.0, 1 - nearest / length))
