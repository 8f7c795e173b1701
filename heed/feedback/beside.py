"""How far labels agree with people's, beside how far people agree with each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from heed.data.labels import first_occasions, latest
from heed.feedback.crowd import DECIDED
from heed.feedback.preferences import Said, preferences
from heed.stats.agreement import cohen_kappa, pairwise_agreement
from heed.stats.intervals import Estimate
from heed.types import Annotation

Unit = tuple[str, int, int]
Pair = tuple[str, Said, Said]
"""An item, and what two annotators said of the same two of its answers."""
CODES: dict[Said, int] = {"first": 0, "second": 1, "tie": 2, "both_bad": 3}


@dataclass(frozen=True, slots=True)
class BesidePeople:
    """Some labels beside people's, with 95% bootstrap intervals over the items both labelled.

    with_people: chance that one of these labels and a person's say the same, ties and "both bad"
    being answers too; among_people: the same of two people's, on the same items. The `sided_` ones
    are of labels that both prefer an answer. kappa: Cohen's, of the pairs behind `with_people`.
    """

    items: int
    with_people: Estimate
    among_people: Estimate
    sided_with_people: Estimate
    sided_among_people: Estimate
    kappa: Estimate


def beside(labels: Sequence[Annotation], people: Sequence[Annotation]) -> BesidePeople:
    """Labels of one judge, or of one source, beside those of people.

    Verdicts are compared as they stand in the item's own order, a ranking as all its pairs. Of
    several revisions the last one counts, planned repeats are left out, "cannot tell" is no answer.
    """
    own = _by_unit(labels)
    spoken_of = {item for item, _, _ in own}
    theirs = _by_unit([each for each in people if each.item in spoken_of])
    both = [unit for unit in own if unit in theirs]
    mixed = [(unit[0], a, b) for unit in both for a, b in product(own[unit], theirs[unit])]
    among = [(unit[0], a, b) for unit in both for a, b in combinations(theirs[unit], 2)]
    return BesidePeople(
        items=len({item for item, _, _ in both}),
        with_people=_alike(mixed),
        among_people=_alike(among),
        sided_with_people=_alike(_sided(mixed)),
        sided_among_people=_alike(_sided(among)),
        kappa=cohen_kappa(
            [a for _, a, _ in mixed],
            [b for _, _, b in mixed],
            clusters=[item for item, _, _ in mixed],
        ),
    )


def _by_unit(annotations: Sequence[Annotation]) -> dict[Unit, list[Said]]:
    said: dict[Unit, list[Said]] = {}
    for each in preferences(first_occasions(latest(annotations))):
        said.setdefault(each.unit, []).append(each.said)
    return said


def _sided(pairs: Sequence[Pair]) -> list[Pair]:
    return [(item, a, b) for item, a, b in pairs if {a, b} <= DECIDED]


def _alike(pairs: Sequence[Pair]) -> Estimate:
    """The share of pairs that say the same: a table of two raters, a column a pair."""
    table = np.array([[CODES[a], CODES[b]] for _, a, b in pairs], dtype=np.float64).reshape(-1, 2)
    return pairwise_agreement(table.T, clusters=[item for item, _, _ in pairs])
