"""From labels to preferences between two answers.

Sides are shown at random, so people can only be compared once their verdicts are turned back into
the item's own order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from heed.types import Annotation, Verdict

Said = Literal["first", "tie", "second", "both_bad"]


@dataclass(frozen=True, slots=True)
class Preference:
    """What one annotation says of two answers, `first` and `second` by their place in the item.

    lean: above 0 for the first answer, by the strength of the grade (4 significantly ... 1
    negligibly) or the distance of the ranks; 0 for a tie; None where both are bad.
    grade: 1 ... 8 as if the first answer stood left, 4.5 for a tie; None for rankings, for more
    than two answers and both bad. first_left: whether the first answer was shown to the left of
    the second.
    """

    item: str
    annotator: str
    first: int
    second: int
    said: Said
    lean: float | None
    grade: float | None
    first_left: bool

    @property
    def unit(self) -> tuple[str, int, int]:
        """What is compared."""
        return self.item, self.first, self.second


def preferences(annotations: Sequence[Annotation]) -> list[Preference]:
    """One of each two answers an annotation compares; "cannot tell" says nothing and makes none."""
    return [made for each in annotations for made in _preferences(each)]


def _preferences(annotation: Annotation) -> Iterator[Preference]:
    if annotation.verdict == "cannot_tell":
        return
    ranks = annotation.ranks
    for first, second in combinations(range(len(annotation.order)), 2):
        first_left = annotation.order.index(first) < annotation.order.index(second)
        lean = None if ranks is None else _lean(annotation.verdict, ranks[second] - ranks[first])
        yield Preference(
            annotation.item, annotation.annotator, first, second, _said(lean), lean,
            _grade(annotation, first_left), first_left,
        )  # fmt: skip


def _lean(verdict: Verdict, apart: int) -> float:
    return float(apart * (5 - min(verdict, 9 - verdict)) if isinstance(verdict, int) else apart)


def _said(lean: float | None) -> Said:
    if lean is None:
        return "both_bad"
    return "first" if lean > 0 else "second" if lean < 0 else "tie"


def _grade(annotation: Annotation, first_left: bool) -> float | None:
    verdict = annotation.verdict
    if isinstance(verdict, int):
        return float(verdict if first_left else 9 - verdict)
    # Beside rankings, which have no grade, the ties alone would agree perfectly.
    return 4.5 if verdict == "tie" and len(annotation.order) == 2 else None
