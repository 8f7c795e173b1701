"""Majority votes on each two answers."""

from __future__ import annotations

import pytest

from heed.feedback.votes import majority
from heed.types import Annotation, Item, Prompt, Verdict

PAIR = Item("pair", Prompt.of("p"), ("a", "b"))
THREE = Item("three", Prompt.of("q"), ("x", "y", "z"))
ITEMS = {item.id: item for item in (PAIR, THREE)}


def said(name: str, verdict: Verdict, item: Item = PAIR, **more: int) -> Annotation:
    return Annotation(
        item.id,
        name,
        verdict,
        order=tuple(range(len(item.answers))),
        occasion=more.get("occasion", 0),
    )


def test_the_majority_wins_with_the_mean_margin() -> None:
    votes = [said("1", 1), said("2", 2), said("3", 6), said("4", "tie"), said("5", "both_bad")]
    (made,), even = majority(votes, ITEMS)
    assert (made.chosen, made.rejected, made.weight, even) == ("a", "b", 1.0, 0)
    # (1 + 2/3 - 1/3 + 0) / 4: grade 6 is slightly for b, the tie counts, both bad does not.
    assert made.margin == pytest.approx((1 + 2 / 3 - 1 / 3) / 4)
    assert (made.annotator, made.source) == ("majority", "vote")


def test_weights_can_turn_a_vote() -> None:
    votes = [said("1", 1), said("2", 1), said("3", 8)]
    (made,), _ = majority(votes, ITEMS, weights={"1": 0.4, "2": 0.4, "3": 1.0})
    assert made.chosen == "b"
    assert made.margin == pytest.approx(0.2 / 1.8)
    (silenced,), _ = majority(votes, ITEMS, weights={"3": 0.0})
    assert (silenced.chosen, silenced.margin) == ("a", 1.0)


def test_an_even_vote_goes_by_the_tie_policy() -> None:
    votes = [said("1", 1), said("2", 8)]
    assert majority(votes, ITEMS) == ([], 1)
    made, even = majority(votes, ITEMS, ties="half")
    assert [(one.chosen, one.weight, one.margin) for one in made] == [("a", 0.5, 0), ("b", 0.5, 0)]
    assert even == 0


def test_a_strong_minority_takes_no_margin_below_zero() -> None:
    (made,), _ = majority([said("1", 4), said("2", 4), said("3", 8)], ITEMS)
    assert (made.chosen, made.margin) == ("a", 0.0)


def test_rankings_vote_on_every_two_answers() -> None:
    votes = [said("1", (1, 2, 3), THREE), said("2", (1, 3, 2), THREE), said("3", (3, 2, 1), THREE)]
    made, even = majority(votes, ITEMS)
    assert [(one.chosen, one.rejected) for one in made] == [("x", "y"), ("x", "z"), ("z", "y")]
    assert sum(one.weight for one in made) == pytest.approx(1.0)
    assert even == 0


def test_a_planned_repeat_is_no_second_vote() -> None:
    votes = [said("1", 8, occasion=1), said("1", 8), said("2", 1), said("3", 1)]
    assert [one.chosen for one in majority(votes, ITEMS)[0]] == ["a"]
