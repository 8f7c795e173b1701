"""Labels beside people's, on hand-made cases."""

from __future__ import annotations

import math

import pytest

from heed.feedback.beside import beside
from heed.types import Annotation, Verdict


def said(
    item: str, who: str, verdict: Verdict, *, swapped: bool = False, **more: int
) -> Annotation:
    order = (1, 0) if swapped else (0, 1)
    return Annotation(item=item, annotator=who, verdict=verdict, order=order, **more)


def test_agreement_with_people_beside_people_with_each_other() -> None:
    people = [
        said("a", "ann", 1), said("a", "bob", 8, swapped=True), said("a", "cy", 6),
        said("b", "ann", 7), said("b", "bob", "tie"),
        said("c", "ann", "both_bad"), said("c", "bob", "both_bad"),
        said("d", "ann", 2), said("e", "ann", "cannot_tell"), said("e", "bob", 2),
        said("unjudged", "ann", 2), said("unjudged", "bob", 2),
    ]  # fmt: skip
    judge = [said("a", "j", 2), said("b", "j", "tie"), said("c", "j", "both_bad"),
             said("d", "j", 7), said("e", "j", 3), said("alone", "j", 2)]  # fmt: skip
    got = beside(judge, people)
    assert got.items == 5
    # a: ann and bob yes, cy no; b: ann no, bob yes; c: both yes; d: no; e: bob yes.
    assert got.with_people.mean == pytest.approx(6 / 9)
    # a: one of three pairs of people; b: none of one; c: one of one.
    assert got.among_people.mean == pytest.approx(2 / 5)
    # a: 2 of 3; d: 0 of 1; e: 1 of 1.
    assert got.sided_with_people.mean == pytest.approx(3 / 5)
    assert got.sided_among_people.mean == pytest.approx(1 / 3)
    assert got.with_people.low <= 6 / 9 <= got.with_people.high
    assert got.with_people.low < got.with_people.high


def test_agreement_goes_by_last_revisions_and_leaves_repeats_out() -> None:
    people = [
        said("a", "ann", 7, revision=1), said("a", "ann", 2), said("c", "ann", 2),
        said("b", "ann", "cannot_tell", revision=1), said("b", "ann", 2),
        said("c", "ann", 7, occasion=1),
    ]  # fmt: skip
    judge = [said(item, "j", 2) for item in "abc"]
    got = beside(judge, people)
    assert (got.items, got.with_people.n) == (2, 2)
    assert got.with_people.mean == 0.5


def test_agreement_on_rankings_counts_their_pairs() -> None:
    person = Annotation("a", "ann", (2, 1, 3), order=(1, 0, 2))  # 0, 1, 2
    judge = Annotation("a", "j", (1, 3, 2), order=(0, 1, 2))  # 0, 2, 1
    got = beside([judge], [person])
    assert got.with_people.mean == pytest.approx(2 / 3)
    assert math.isnan(got.with_people.low), "one item gives no interval"


def test_agreement_of_nobody() -> None:
    got = beside([said("a", "j", 2)], [said("b", "ann", 2)])
    assert got.items == 0
    assert math.isnan(got.with_people.mean)
    assert math.isnan(got.among_people.mean)


def test_several_judges_count_pair_by_pair() -> None:
    judges = [said("a", "j", 2), said("a", "k", 7), said("b", "j", 2), said("b", "k", 3)]
    people = [said("a", "ann", 1), said("b", "ann", 2), said("b", "bob", 8)]
    got = beside(judges, people)
    # a: j yes, k no; b: both yes with ann, both no with bob.
    assert got.with_people.mean == pytest.approx(3 / 6)
    # Both say first in 4 of 6 or more: j and k first 5/6, people first 4/6; chance 22/36.
    assert got.kappa.mean == pytest.approx((3 / 6 - 22 / 36) / (1 - 22 / 36))
