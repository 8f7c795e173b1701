"""Whom a policy pleases, by hand: the people of these tests have known probabilities."""

from __future__ import annotations

import math

import pytest

from heed.evaluation.people import (
    PAIRS,
    by_trait,
    pairs_of,
    rate,
    rates_apart,
    rates_apart_by_family,
    wins,
)
from heed.types import Completion, Pair, Prompt
from heed.world.annotators import Person, SimulatedAnnotator
from heed.world.world import World

WON = {"ann": [0.9, 0.7, 0.2], "bob": [0.5, 0.1, 0.4], "cleo": [0.5, 0.5, 0.5]}


def prompt(id: str, family: str = "facts") -> Prompt:
    return Prompt.of(id, id=id, family=family)


PROMPTS = [prompt("a"), prompt("b"), prompt("c", "verse")]
THREE = [Pair("", each, "ours", "theirs") for each in PROMPTS]


def test_answers_are_paired_one_with_one_and_no_more_than_both_have() -> None:
    a, b, alone = prompt("a"), prompt("b"), prompt("alone")
    ours = [Completion(a, f"our {n}") for n in range(PAIRS + 2)] + [Completion(alone, "x")]
    theirs = [Completion(b, "no one asked"), *(Completion(a, f"their {n}") for n in range(3))]
    found = pairs_of(ours, theirs)
    assert [(p.left, p.right) for p in found] == [(f"our {n}", f"their {n}") for n in range(3)]
    many = [Completion(a, str(n)) for n in range(PAIRS + 2)]
    assert len(pairs_of(many, many)) == PAIRS
    assert pairs_of([], theirs) == pairs_of(ours, []) == []


def test_rates_by_hand() -> None:
    assert rate(WON, ["ann"], THREE).mean == pytest.approx(0.6)
    # The people's mean on each prompt: .7, .4, .3; the interval is over the three prompts.
    both = rate(WON, ["ann", "bob"], THREE)
    assert both.mean == pytest.approx(1.4 / 3)
    error = math.sqrt((0.2333**2 + 0.0667**2 + 0.1667**2) / 2 / 3)
    assert both.high - both.mean == pytest.approx(4.3027 * error, rel=1e-3)
    assert both.n == 3


def test_rates_apart_by_hand_and_their_identities() -> None:
    apart = rates_apart(WON, ["ann"], ["bob", "cleo"], THREE)
    assert apart.mean == pytest.approx((0.4 + 0.4 - 0.25) / 3)
    back = rates_apart(WON, ["bob", "cleo"], ["ann"], THREE)
    assert (back.mean, back.low) == (pytest.approx(-apart.mean), pytest.approx(-apart.high))
    nothing = rates_apart(WON, ["ann"], ["ann"], THREE)
    assert (nothing.mean, nothing.low, nothing.high) == (0, 0, 0)
    wide = rates_apart(WON, ["ann"], ["bob", "cleo"], THREE, 0.995)
    assert wide.low < apart.low < apart.high < wide.high


def test_families_add_up_to_the_whole() -> None:
    table = rates_apart_by_family(WON, ["ann"], ["bob"], THREE)
    assert {name: found.n for name, found in table.items()} == {"facts": 2, "verse": 1}
    assert table["facts"].mean == pytest.approx(0.5)
    assert table["verse"].mean == pytest.approx(-0.2)
    assert math.isnan(table["verse"].low)  # one prompt has no interval
    whole = rates_apart(WON, ["ann"], ["bob"], THREE)
    assert sum(f.n * f.mean for f in table.values()) / 3 == pytest.approx(whole.mean)


def test_samples_of_one_prompt_are_one_cluster() -> None:
    one = [Pair("", PROMPTS[0], "x", "y")] * 3
    assert math.isnan(rate(WON, ["ann"], one).low)


@pytest.mark.filterwarnings("error")
def test_nobody_and_no_pairs_give_no_figure() -> None:
    assert math.isnan(rate(WON, [], THREE).mean)
    assert math.isnan(rates_apart(WON, ["ann"], [], THREE).mean)
    empty: dict[str, list[float]] = {"ann": [], "bob": []}
    assert rate(empty, ["ann"], []).n == 0
    assert rates_apart(empty, ["ann"], ["bob"], []).n == 0
    assert rates_apart_by_family(empty, ["ann"], ["bob"], []) == {}


def test_people_are_grouped_by_what_they_have_more_of_than_half() -> None:
    people = [
        Person("a", 0.3, length_bias=0.01),
        Person("b", 0.3, length_bias=0.02),
        Person("c", 0.3, length_bias=0.03),
        Person("spam", 0.3, length_bias=9.0, always_left=True),
    ]
    assert by_trait(people, "length_bias") == {"more": ["c"], "less": ["a", "b"]}
    assert by_trait(people, "courtesy_bias") == {}  # all alike
    assert by_trait([], "length_bias") == {}
    assert by_trait(people[3:], "length_bias") == {}


def test_the_other_side_of_a_pair_has_the_other_chance() -> None:
    world = World(0)
    asked = world.split("heldout")[0]
    person = Person("ann", 0.3, left_bias=2.0)
    crowd = [SimulatedAnnotator(person, world.gold, 0)]
    pair = Pair("", asked, "i do not know .", "go away , you fool .")
    (forth,) = wins(crowd, [pair])["ann"]
    (back,) = wins(crowd, [Pair("", asked, pair.right, pair.left)])["ann"]
    assert forth + back == pytest.approx(1)
    assert forth > 0.5
    assert wins(crowd, [Pair("", asked, "x", "x")])["ann"] == [pytest.approx(0.5)]
    assert wins([], [pair]) == {}
