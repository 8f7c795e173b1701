"""What a crowd's preferences say of the people in it: reliabilities, habits, and flags.

The step between annotations and the tests of `heed.stats.crowd`: verdicts are turned to the item's
own order, revisions and planned repeats are put in their place, gold items are looked up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from heed.data.labels import first_occasions
from heed.feedback.preferences import Preference, Said, preferences
from heed.stats.consensus import OneCoin, one_coin
from heed.stats.crowd import (
    Flag,
    below_crowd,
    constant_answers,
    left_share,
    side_bias,
    speed_outliers,
    unreliable,
)
from heed.types import Annotation, Item

Known = dict[tuple[str, int, int], Said]
"""What is right to say of two answers of an item."""
Hits = list[tuple[str, bool]]
"""Verdicts on two answers of an item each, and whether they are as they should be."""
DECIDED = frozenset({"first", "second"})
RIGHT, WRONG = 4.0, 1.0
"""The prior of a reliability, as imagined votes."""
PRIOR_MEAN = RIGHT / (RIGHT + WRONG)


def crowd_flags(current: Sequence[Annotation], known: Known) -> list[Flag]:
    """All tests over all annotators, given their latest revisions."""
    first = first_occasions(current)
    timed = [each for each in current if each.seconds > 0]
    gold = [
        (name, hit) for name, own in by_name(first).items() for hit in _mostly(_on_gold(own, known))
    ]
    again = [
        (name, hit) for name, own in by_name(current).items() for hit in _mostly(_repeated(own))
    ]
    flags = [
        *_side_flags(first, known),
        *speed_outliers([each.annotator for each in timed], [each.seconds for each in timed]),
        *constant_answers([each.annotator for each in first], [each.verdict for each in first]),
        *below_crowd([name for name, _ in gold], [hit for _, hit in gold], "gold"),
        *below_crowd([name for name, _ in again], [hit for _, hit in again], "self-agreement"),
    ]
    votes = decided(first)
    if votes:
        raters, labels = (
            [each.annotator for each in votes],
            [each.said == "first" for each in votes],
        )
        flags += unreliable(raters, labels, fit_reliability(votes, known))
    return flags


def _side_flags(first: Sequence[Annotation], known: Known) -> list[Flag]:
    """Side bias: given the others' view of each item, or by the plain share without others.

    Only of annotators whose sides were shuffled: without that nobody can tell a leaning to a side
    from one to the answer that always stands there.
    """
    found = [each for each in preferences(first) if each.lean is not None]
    votes = [each for each in found if each.lean]
    shuffled = saw_both_orders(found)
    if not votes or not shuffled:
        return []
    predictors = _predictors(found, fit_reliability(votes, known))
    if not predictors.any():
        pairs = [each for each in preferences(of_two(first)) if each.said in DECIDED]
        sided = [each for each in pairs if each.annotator in shuffled]
        return left_share([each.annotator for each in sided], left_choices(sided))
    kept = [at for at, each in enumerate(found) if each.annotator in shuffled]
    tested = [found[at] for at in kept]
    return side_bias(
        [each.annotator for each in tested],
        [each.lean or 0.0 for each in tested],
        [each.first_left for each in tested],
        predictors[kept],
        clusters=[each.item for each in tested],
    )


def saw_both_orders(found: Sequence[Preference]) -> set[str]:
    """Annotators who saw answers in the items' own order and in the other one too."""
    seen = {(each.annotator, each.first_left) for each in found}
    return {name for name, first_left in seen if (name, not first_left) in seen}


def _predictors(found: Sequence[Preference], model: OneCoin) -> NDArray[np.float64]:
    """What the others say of each preference's unit: which answer is better, and by how much.

    The first is 2 P(first is better) - 1 under the one-coin model, the second the mean lean of the
    others, each weighted by the log-odds of being right.
    """
    weight = dict(zip(model.raters, logit(model.reliability).tolist(), strict=True))
    odds = dict(zip(model.items, model.log_odds.tolist(), strict=True))
    sums: dict[tuple[str, int, int], list[float]] = {}
    for each in found:
        total = sums.setdefault(each.unit, [0.0, 0.0])
        trust = max(weight.get(each.annotator, 0.0), 0.0)
        total[0] += trust
        total[1] += trust * (each.lean or 0.0)
    rows = []
    for each in found:
        own, lean = weight.get(each.annotator, 0.0), each.lean or 0.0
        trust, leaned = sums[each.unit]
        trust, leaned = trust - max(own, 0.0), leaned - max(own, 0.0) * lean
        others = odds.get(each.unit, 0.0) - own * float(np.sign(lean))
        rows.append((math.tanh(others / 2), leaned / trust if trust > 1e-9 else 0.0))
    return np.round(np.array(rows), 12)  # what rounding leaves of one's own vote is no predictor


def known_answers(current: Sequence[Annotation], items: Mapping[str, Item]) -> Known:
    """What is known of the gold items' answers, pair by pair, in the item's own order.

    Raises:
        KeyError: an annotation of an item that is not in `items`.
    """
    known: Known = {}
    for name in dict.fromkeys(each.item for each in current):
        verdict = items[name].known
        if verdict is not None:
            order = tuple(range(len(items[name].answers)))
            truth = Annotation(name, "", verdict, order=order)
            known |= {each.unit: each.said for each in preferences([truth])}
    return known


def fit_reliability(votes: Sequence[Preference], known: Known) -> OneCoin:
    """The one-coin model of preferences for an answer, told what is known."""
    certain = {unit: said == "first" for unit, said in known.items() if said in DECIDED}
    return one_coin(
        [each.unit for each in votes],
        [each.annotator for each in votes],
        [each.said == "first" for each in votes],
        known=certain,
        right=RIGHT,
        wrong=WRONG,
    )


def decided(annotations: Sequence[Annotation]) -> list[Preference]:
    """The preferences for one of two answers, planned repeats left out."""
    found = preferences(first_occasions(annotations))
    return [each for each in found if each.said in DECIDED]


def gold_hits(own: Sequence[Annotation], known: Known) -> list[bool]:
    """Whether each verdict on two of a gold item's answers was right."""
    return [hit for _, hit in _on_gold(own, known)]


def _on_gold(own: Sequence[Annotation], known: Known) -> Hits:
    items = {item for item, _, _ in known}
    asked = preferences([each for each in own if each.item in items])
    return [(each.item, each.said == known[each.unit]) for each in asked if each.unit in known]


def _mostly(hits: Hits) -> list[bool]:
    """Whether more than half of each item's verdicts hit: a try for a test, which the pairs of one
    ranking are not, since they depend on each other.
    """
    items: dict[str, list[bool]] = {}
    for item, hit in hits:
        items.setdefault(item, []).append(hit)
    return [2 * sum(own) > len(own) for own in items.values()]


def of_two(annotations: Sequence[Annotation]) -> list[Annotation]:
    """Verdicts on two answers, each of which prefers a side once: a longer ranking is many
    preferences, and they depend on each other.
    """
    return [each for each in annotations if len(each.order) == 2]


def left_choices(found: Sequence[Preference]) -> list[bool]:
    """Whether each preference for an answer was for the one shown left."""
    return [(each.said == "first") == each.first_left for each in found if each.said in DECIDED]


def repeats_alike(own: Sequence[Annotation]) -> list[bool]:
    """Whether each verdict on two answers was the same at a planned repeat as the first time."""
    return [hit for _, hit in _repeated(own)]


def _repeated(own: Sequence[Annotation]) -> Hits:
    first = {each.item: each for each in first_occasions(own)}
    later = [each for each in own if each.occasion != first[each.item].occasion]
    repeated = {each.item: first[each.item] for each in later}
    before = {each.unit: each.said for each in preferences(list(repeated.values()))}
    again = [each for each in preferences(later) if each.unit in before]
    return [(each.item, each.said == before[each.unit]) for each in again]


def by_name(
    annotations: Sequence[Annotation],
    key: Callable[[Annotation], str] = lambda each: each.annotator,
) -> dict[str, list[Annotation]]:
    """Annotations by a name of theirs, the annotator's if nothing else is asked for."""
    groups: dict[str, list[Annotation]] = {}
    for each in annotations:
        groups.setdefault(key(each), []).append(each)
    return groups
