"""Which labels hold and which of them train; from labels to preferences between two answers.

Sides are shown at random, so people can only be compared once their verdicts are turned back into
the item's own order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from heed.types import Annotation, Item, Split

ADJUDICATION = "adjudication"
"""The source of a ruling on an item that annotators dispute."""
Splits = Split | Literal["all"]
"""Which side's prompts are wanted."""
GOLD = "labels of gold items"
ELSEWHERE: Mapping[Split, str] = {
    "train": "labels on training prompts",
    "heldout": "labels on held-out prompts",
}
REPEATED = "planned repeats"
REPLACED = "labels that an adjudication replaces"

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


def latest(annotations: Sequence[Annotation]) -> list[Annotation]:
    """The last revision of each key (item, annotator, occasion), in the order of first sight."""
    newest: dict[tuple[str, str, int], Annotation] = {}
    for each in annotations:
        key = each.item, each.annotator, each.occasion
        if key not in newest or newest[key].revision < each.revision:
            newest[key] = each
    return list(newest.values())


def first_occasions(annotations: Sequence[Annotation]) -> list[Annotation]:
    """Each annotator's earliest occasion with an item: planned repeats left out."""
    earliest: dict[tuple[str, str], Annotation] = {}
    for each in annotations:
        key = each.item, each.annotator
        if key not in earliest or each.occasion < earliest[key].occasion:
            earliest[key] = each
    return list(earliest.values())


@dataclass(frozen=True, slots=True)
class Chosen:
    """The labels that a training set is made of, and how many were left out, by reason."""

    labels: list[Annotation]
    left_out: Counter[str]


def labels_to_learn_from(
    annotations: Sequence[Annotation], items: Mapping[str, Item], *, split: Splits = "train"
) -> Chosen:
    """The labels that hold and that training may see: none of gold items, for those measure
    annotators, and none on prompts of the other side of the split.
    """
    kept, left_out = [], Counter[str]()
    for each in latest(annotations):
        item = items[each.item]
        if item.known is not None:
            left_out[GOLD] += 1
        elif split not in ("all", item.prompt.split):
            left_out[ELSEWHERE[item.prompt.split]] += 1
        else:
            kept.append(each)
    return Chosen(kept, left_out)


def training_votes(
    annotations: Sequence[Annotation], items: Mapping[str, Item], *, split: Splits = "train"
) -> Chosen:
    """The labels whose verdicts become comparisons, wherever such are made.

    Of the labels to learn from, each annotator's first of an item (a planned repeat measures how
    constant they are), and on an adjudicated item the adjudications in place of all others.
    """
    seen = labels_to_learn_from(annotations, items, split=split)
    first = first_occasions(seen.labels)
    ruled = {each.item for each in first if each.source == ADJUDICATION}
    kept = [each for each in first if each.item not in ruled or each.source == ADJUDICATION]
    further = {REPEATED: len(seen.labels) - len(first), REPLACED: len(first) - len(kept)}
    return Chosen(kept, +(seen.left_out + Counter(further)))


def without_adjudications(annotations: Sequence[Annotation]) -> list[Annotation]:
    """Annotators' own labels, which tell how reliable they are."""
    return [each for each in annotations if each.source != ADJUDICATION]


def preferences(annotations: Sequence[Annotation]) -> list[Preference]:
    """One of each two answers an annotation compares; "cannot tell" says nothing and makes none."""
    return [made for each in annotations for made in _preferences(each)]


def _preferences(annotation: Annotation) -> Iterator[Preference]:
    if annotation.verdict == "cannot_tell":
        return
    for first, second in combinations(range(len(annotation.order)), 2):
        first_left = annotation.order.index(first) < annotation.order.index(second)
        lean = _lean(annotation, first, second)
        yield Preference(
            annotation.item, annotation.annotator, first, second, _said(lean), lean,
            _grade(annotation, first_left), first_left,
        )  # fmt: skip


def _lean(annotation: Annotation, first: int, second: int) -> float | None:
    ranks = annotation.ranks
    if ranks is None:
        return None
    apart = ranks[second] - ranks[first]
    verdict = annotation.verdict
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
