"""One verdict of several: majority votes on each two answers of an item."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from heed.data.comparisons import MARGINS, Ties, strength
from heed.data.labels import first_occasions
from heed.types import Annotation, Comparison, Item


@dataclass
class Tally:
    """The votes on two answers: `balance` is for the first less for the second, `margins` the same
    of their margins, `total` all of them, ties too.
    """

    balance: float = 0.0
    margins: float = 0.0
    total: float = 0.0


def majority(
    annotations: Sequence[Annotation],
    items: Mapping[str, Item],
    *,
    ties: Ties = "drop",
    weights: Mapping[str, float] | None = None,
) -> tuple[list[Comparison], int]:
    """One comparison of each two answers of an item, and how many pairs had an even vote.

    Everyone's first annotation of an item is a vote of the annotator's weight; a tie is half a vote
    for each side. The margin is the mean of the voters' margins, those against the winner counted
    negative, at least 0. K answers share the weight 1 as the rankings do: 1 / (K choose 2) a pair.
    An even vote makes nothing (`ties="drop"`) or two opposite comparisons of half the weight
    ("half").
    """
    tallies = _tallies(annotations, weights or {})
    made: list[Comparison] = []
    even = 0
    for (id, first, second), tally in tallies.items():
        item = items[id]
        weight = 2 / (len(item.answers) * (len(item.answers) - 1))
        if abs(tally.balance) > 1e-9 * tally.total:
            winner, loser = (first, second) if tally.balance > 0 else (second, first)
            margin = abs(max(0.0, tally.margins * (1 if winner == first else -1))) / tally.total
            made.append(_comparison(item, winner, loser, margin, weight))
            continue
        even += 1
        if ties == "half":
            made.append(_comparison(item, first, second, 0.0, weight / 2))
            made.append(_comparison(item, second, first, 0.0, weight / 2))
    return made, even if ties == "drop" else 0


def _tallies(
    annotations: Sequence[Annotation], weights: Mapping[str, float]
) -> dict[tuple[str, int, int], Tally]:
    tallies: dict[tuple[str, int, int], Tally] = defaultdict(Tally)
    for annotation in first_occasions(annotations):
        weight = weights.get(annotation.annotator, 1.0)
        ranks = annotation.ranks
        if ranks is None or weight <= 0:
            continue
        grade = annotation.verdict
        margin = MARGINS[strength(grade)] if isinstance(grade, int) else 0.0
        for first, second in combinations(range(len(ranks)), 2):
            tally = tallies[annotation.item, first, second]
            vote = (ranks[second] > ranks[first]) - (ranks[second] < ranks[first])
            tally.balance += vote * weight
            tally.margins += vote * weight * margin
            tally.total += weight
    return tallies


def _comparison(item: Item, winner: int, loser: int, margin: float, weight: float) -> Comparison:
    return Comparison(
        item.prompt, item.answers[winner], item.answers[loser], margin, weight, "majority", "vote"
    )
