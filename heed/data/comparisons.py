"""From annotations to training sets: what a verdict, a ranking and a rewrite are worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Literal

from heed.types import Annotation, Comparison, Demonstration, Item, Ranking, Unpaired

Ties = Literal["drop", "half"]

MARGINS = {1: 1.0, 2: 2 / 3, 3: 1 / 3, 4: 0.0}
"""Margin by strength of preference (Llama 2, arXiv:2307.09288, table 27, small)."""


def strength(grade: int) -> int:
    """1 (significantly) to 4 (negligibly), whichever side is preferred."""
    return min(grade, 9 - grade)


def comparisons(
    annotations: Sequence[Annotation],
    items: Mapping[str, Item],
    *,
    ties: Ties = "drop",
    weights: Mapping[str, float] | None = None,
) -> list[Comparison]:
    """What annotations say of pairs of answers, in their order.

    A grade makes one comparison, with its margin. A ranking of K answers makes one of each pair it
    tells apart, each of weight 1 / (K choose 2), so that one annotation has one vote (Ouyang et
    al. 2022, eq. 1). Two tied answers make none (`ties="drop"`) or, as half a win each, two
    opposite comparisons of half the weight ("half"). "Both bad" and "cannot tell" make none.

    `items` holds every item that is annotated, by id. `weights` is a factor by annotator, 1 where
    one is not named; a comparison of weight 0 is left out.
    """
    made = []
    for annotation in annotations:
        factor = 1.0 if weights is None else weights.get(annotation.annotator, 1.0)
        if annotation.ranks is not None and factor > 0:
            item = items[annotation.item]
            for better, worse, weight in _preferences(annotation.ranks, ties):
                made.append(
                    Comparison(
                        prompt=item.prompt,
                        chosen=item.answers[better],
                        rejected=item.answers[worse],
                        margin=_margin(annotation),
                        weight=weight * factor,
                        annotator=annotation.annotator,
                        source=annotation.source,
                    )
                )
    return made


def _preferences(ranks: Ranking, ties: Ties) -> Iterator[tuple[int, int, float]]:
    """(better, worse, weight) by the answers' places, of the pairs that count."""
    pairs = list(combinations(range(len(ranks)), 2))
    for first, second in pairs:
        if ranks[first] != ranks[second]:
            better, worse = sorted((first, second), key=lambda place: ranks[place])
            yield better, worse, 1 / len(pairs)
        elif ties == "half":
            yield first, second, 1 / (2 * len(pairs))
            yield second, first, 1 / (2 * len(pairs))


def undesirable(
    annotations: Sequence[Annotation],
    items: Mapping[str, Item],
    *,
    weights: Mapping[str, float] | None = None,
) -> list[Unpaired]:
    """The answers that were called bad, all of an item, where comparing them says nothing.

    One annotation weighs 2 over all its K answers, as one does that compares them.
    """
    return [
        Unpaired(
            prompt=items[annotation.item].prompt,
            text=text,
            desirable=False,
            weight=2 / len(annotation.order) * factor,
            annotator=annotation.annotator,
            source=annotation.source,
        )
        for annotation in annotations
        if annotation.verdict == "both_bad"
        and (factor := 1.0 if weights is None else weights.get(annotation.annotator, 1.0)) > 0
        for text in items[annotation.item].answers
    ]


def each_by_itself(preferred: Sequence[Comparison]) -> list[Unpaired]:
    """Of every comparison the chosen answer as desirable; then the rejected ones as not.

    In this order, an answer's neighbours, of which KTO takes one, are of its own kind.
    """
    return [
        Unpaired(each.prompt, text, good, each.weight, each.annotator, each.source)
        for good in (True, False)
        for each in preferred
        for text in [each.chosen if good else each.rejected]
    ]


def _margin(annotation: Annotation) -> float:
    return MARGINS[strength(annotation.verdict)] if isinstance(annotation.verdict, int) else 0.0


def rewrites(annotations: Sequence[Annotation], items: Mapping[str, Item]) -> list[Demonstration]:
    """The answers that annotators wrote themselves, to be imitated."""
    return [
        Demonstration(items[annotation.item].prompt, annotation.rewrite)
        for annotation in annotations
        if annotation.rewrite.strip()
    ]
