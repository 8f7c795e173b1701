from __future__ import annotations

import math
import random

import pytest

from heed.feedback.habits import Vote, apart, every_other, found_groups, habit_of, in_groups, votes
from heed.feedback.preferences import preferences
from heed.types import Annotation, Item, Prompt

ITEMS = {
    "long": Item("long", Prompt.of("p"), ("one two three", "one")),
    "same": Item("same", Prompt.of("q"), ("one", "two")),
}


def test_a_vote_by_hand() -> None:
    said = [
        Annotation("long", "ann", 2, order=(1, 0)),  # the short answer, which stood left
        Annotation("same", "ann", 7, order=(0, 1)),  # the right one of two as long
        Annotation("same", "bob", "tie", order=(0, 1)),
    ]
    first, second = votes(preferences(said), ITEMS, {"long": [2.0, 5.0]})
    assert dict(first.habits) == {"longer": 0.0, "left": 1.0, "reward": 1.0}
    assert dict(second.habits) == {"left": 0.0}


def cast(shares: dict[str, float], n: int = 60) -> list[Vote]:
    rng = random.Random(0)
    return [
        Vote(who, f"prompt-{at}", "facts", {"left": float(rng.random() < share)})
        for who, share in shares.items()
        for at in range(n)
    ]


def test_people_who_differ_are_told_apart_and_others_are_not() -> None:
    alike = habit_of(cast({f"p{n}": 0.5 for n in range(8)}), "left")
    assert alike is not None
    assert alike.chance > 0.01
    unlike = cast({**{f"p{n}": 0.5 for n in range(5)}, **{f"l{n}": 0.9 for n in range(5)}})
    habit = habit_of(unlike, "left")
    assert habit is not None
    assert habit.chance < 1e-6
    groups = found_groups(unlike, "left")
    assert sorted(groups["more"]) == [f"l{n}" for n in range(5)]
    others = every_other(unlike, 1)
    assert len(others) == len(unlike) / 2
    assert apart(others, groups, "left").low > 0.2
    assert in_groups(others, groups, "left")["more"].mean == pytest.approx(0.9, abs=0.08)


def test_a_few_people_give_no_interval() -> None:
    some = cast({"a": 0.2, "b": 0.3, "c": 0.9, "d": 0.8})
    table = in_groups(some, {"more": ["c", "d"], "less": ["a", "b"]}, "left")
    assert math.isnan(table["more"].low)
    assert table["more"].mean > table["less"].mean
    assert math.isnan(apart(some, {"more": ["c", "d"], "less": ["a", "b"]}, "left").high)


def test_one_person_or_one_way_is_no_habit() -> None:
    assert habit_of(cast({"a": 0.5}), "left") is None
    assert habit_of(cast({"a": 1.0, "b": 1.0}), "left") is None
    assert found_groups(cast({"a": 0.1, "b": 0.9, "c": 0.5}), "left") == {}
