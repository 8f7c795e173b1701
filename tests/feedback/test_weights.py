"""How much an annotator's comparisons count, by hand.

Everything here is gold, so the truth is known and r right answers of n make a reliability of
(r + 4) / (n + 5): the prior is 4 imagined right votes and 1 wrong one.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import log

import pytest

from heed.data.comparisons import comparisons
from heed.feedback.weights import CERTAIN, reliability_weights
from heed.types import Annotation, Item, Prompt

ITEMS = {
    f"gold-{at}": Item(f"gold-{at}", Prompt.of(f"{at}?"), ("right", "wrong"), known=1)
    for at in range(600)
}


def answered(annotator: str, *, right: int, wrong: int) -> list[Annotation]:
    verdicts = [2] * right + [7] * wrong
    return [Annotation(f"gold-{at}", annotator, said) for at, said in enumerate(verdicts)]


def test_log_odds_of_mean_one() -> None:
    # 15/16, 12/16, and 8/16: a coin. The odds are 15, 3 and 1, and log 1 is 0.
    said = [
        *answered("Ada", right=11, wrong=0),
        *answered("Bo", right=8, wrong=3),
        *answered("coin", right=4, wrong=7),
    ]
    mean = (log(15) + log(3)) / 3
    expected = {"Ada": log(15) / mean, "Bo": log(3) / mean, "coin": 0.0}
    assert reliability_weights(said, ITEMS) == pytest.approx(expected)


def test_the_mean_is_over_annotations_not_people() -> None:
    # 33 labels at odds of 36 to 2, 1 at odds of 5 to 1.
    said = [*answered("much", right=32, wrong=1), *answered("little", right=1, wrong=0)]
    weights = reliability_weights(said, ITEMS)
    mean = (33 * log(18) + log(5)) / 34
    assert weights == pytest.approx({"much": log(18) / mean, "little": log(5) / mean})
    assert sum(weights[each.annotator] for each in said) == pytest.approx(len(said))


def test_worse_than_a_coin_counts_nothing_rather_than_the_other_way_round() -> None:
    said = [*answered("Ada", right=11, wrong=0), *answered("contrary", right=0, wrong=11)]
    weights = reliability_weights(said, ITEMS)
    assert weights == pytest.approx({"Ada": 2.0, "contrary": 0.0})
    assert {each.annotator for each in comparisons(said, ITEMS, weights=weights)} == {"Ada"}


def test_the_oftener_right_the_heavier() -> None:
    said = [
        each
        for right in range(21)
        for each in answered(f"{right:02d}", right=right, wrong=20 - right)
    ]
    weights = reliability_weights(said, ITEMS)
    # (8 + 4) / 25 is below a half, (9 + 4) / 25 above it.
    assert all(weights[f"{right:02d}"] == 0 for right in range(9))
    rising = [weights[f"{right:02d}"] for right in range(8, 21)]
    assert all(below < above for below, above in pairwise(rising))


def test_nobody_is_more_certain_than_the_cut() -> None:
    # 199/200 and 599/600 are both cut to .99, odds of 99; 19/20 is not.
    said = [
        *answered("sure", right=195, wrong=0),
        *answered("surer", right=595, wrong=0),
        *answered("Ada", right=15, wrong=0),
    ]
    weights = reliability_weights(said, ITEMS)
    assert weights["sure"] == weights["surer"]
    assert weights["sure"] / weights["Ada"] == pytest.approx(log(99) / log(19))
    assert CERTAIN == 0.99


def test_where_nobody_is_better_than_a_coin_all_count_alike() -> None:
    said = [*answered("one", right=4, wrong=7), *answered("other", right=0, wrong=11)]
    assert reliability_weights(said, ITEMS) == {"one": 1.0, "other": 1.0}
    assert reliability_weights([], ITEMS) == {}


def test_without_gold_the_others_tell() -> None:
    """Five who agree and one who says the opposite half of the time."""
    items = {id: replace(item, known=None) for id, item in list(ITEMS.items())[:40]}
    said = [
        Annotation(id, name, 2 if at % 2 else 7)
        for at, id in enumerate(items)
        for name in ("a", "b", "c", "d", "e")
    ]
    said += [Annotation(id, "noise", 2 if at % 4 < 2 else 7) for at, id in enumerate(items)]
    weights = reliability_weights(said, items)
    # Of 40 sure items the five have 40 right, (40 + 4) / 45; noise has 20, (20 + 4) / 45.
    ratio = weights["noise"] / weights["a"]
    assert ratio == pytest.approx(log(24 / 21) / log(44), rel=1e-3)
    assert len({weights[name] for name in "abcde"}) == 1
