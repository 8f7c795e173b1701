"""Which labels hold, and which of them train."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
