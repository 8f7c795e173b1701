"""How varied texts are: distinct n-grams, distinct answers, repetition.

Words are what stands between white space. All shares fall as a set of texts grows, so compare
sets of equal size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def ngrams(text: str, n: int) -> Iterator[tuple[str, ...]]:
    """The runs of `n` words in a text, in order.

    Raises:
        ValueError: n < 1.
    """
    if n < 1:
        raise ValueError(f"an n-gram has at least one word, got n={n}")
    words = text.split()
    return zip(*(words[start:] for start in range(n)), strict=False)


def distinct_n(texts: Sequence[str], n: int) -> float:
    """Distinct n-grams over all n-grams of all texts (Li et al. 2016, distinct-n); 0 if none."""
    grams = [gram for text in texts for gram in ngrams(text, n)]
    return len(set(grams)) / len(grams) if grams else 0.0


def distinct_answers(texts: Sequence[str]) -> float:
    """The share of whole answers that differ, white space aside; 0 without answers."""
    return len({" ".join(text.split()) for text in texts}) / len(texts) if texts else 0.0


def repeated_n(text: str, n: int) -> float:
    """The share of a text's n-grams that stood in it before: "the the the the" has 2/3 of pairs.

    0 where the text has none.
    """
    grams = list(ngrams(text, n))
    return 1 - len(set(grams)) / len(grams) if grams else 0.0
