"""Do held-out prompts stand in the training data, word for word or nearly?

What a policy was trained on it may know by heart, so a held-out prompt that leaked makes every
figure on it too good. Two texts are near duplicates where the Jaccard index of their shingles
(runs of `SHINGLE` words; Broder 1997) reaches `similarity`; case, punctuation and spaces aside.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from heed.gates.finding import Finding

SHINGLE = 3
"""Words of a shingle; a shorter text is one shingle."""
_WORDS = re.compile(r"\w+")
Shingles = frozenset[tuple[str, ...]]


def shingles(text: str) -> Shingles:
    """The runs of `SHINGLE` words in a text; none of a text without words."""
    words = _WORDS.findall(text.casefold())
    ends = max(1, len(words) - SHINGLE + 1) if words else 0
    return frozenset(tuple(words[at : at + SHINGLE]) for at in range(ends))


def leaked(heldout: Sequence[str], training: Iterable[str], similarity: float) -> list[bool]:
    """Whether each held-out text has a near duplicate in the training texts."""
    known = list({found: None for text in training if (found := shingles(text))})
    places: dict[tuple[str, ...], list[int]] = {}
    for index, text in enumerate(known):
        for shingle in text:
            places.setdefault(shingle, []).append(index)
    return [
        any(
            _similar(own, known[index]) >= similarity
            for index in _candidates(own, places, similarity)
        )
        for own in map(shingles, heldout)
    ]


def _candidates(
    own: Shingles, places: Mapping[tuple[str, ...], Sequence[int]], similarity: float
) -> set[int]:
    """The texts that may be so similar. Such a one has at least a share `similarity` of the own
    shingles, so it has one of any that are more than the rest: the rarest will do (prefix
    filtering, Chaudhuri et al. 2006).
    """
    rarest = sorted(own, key=lambda shingle: (len(places.get(shingle, ())), shingle))
    enough = int((1 - similarity) * len(own)) + 1
    return {index for shingle in rarest[:enough] for index in places.get(shingle, ())}


def _similar(a: Shingles, b: Shingles) -> float:
    """The Jaccard index."""
    return len(a & b) / len(a | b)


def leakage(
    heldout: Sequence[str], training: Iterable[str], *, similarity: float, share: float
) -> Finding | None:
    """Whether more than a share of the held-out texts leaked; None where nothing is held out.

    It is a count, not a test: it trips by chance never.
    """
    if not heldout:
        return None
    found = leaked(heldout, training, similarity)
    statistic = sum(found) / len(found)
    tripped = statistic > share
    says = (
        f"{sum(found):,} of {len(found):,} held-out prompts stand in the training data, word for "
        f"word or nearly (similarity {similarity:g})."
    )
    if tripped:
        first = heldout[found.index(True)]
        says += (
            f" The first is {_short(first)!r}. Take them out of one of the two: figures on them "
            "are too good."
        )
    return Finding("leakage", statistic, share, 0.0, tripped, says)


def _short(text: str, most: int = 80) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]}..."
