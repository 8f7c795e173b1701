"""Whose values: from votes, people and policies' answers to values.json."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from heed.config import load_recipe
from heed.errors import UserError
from heed.feedback.habits import Vote
from heed.feedback.preferences import Preference
from heed.recipe import Evaluate
from heed.stages.values import (
    Grouping,
    _by_field,
    _by_votes,
    _cycles,
    _grouping,
    _present,
    _won_by_group,
    asked_by,
    values,
)
from heed.types import Item, Pair, Prompt


def people_who(shares: dict[str, float], n: int = 120, seed: int = 0) -> list[Vote]:
    rng = random.Random(seed)
    return [
        Vote(who, f"prompt-{at}", "facts", {"left": float(rng.random() < share)})
        for who, share in shares.items()
        for at in range(n)
    ]


APART = {**{f"p{n}": 0.5 for n in range(5)}, **{f"l{n}": 0.9 for n in range(5)}}


def test_groups_are_found_on_prompts_other_than_those_they_are_measured_on() -> None:
    cast_ = people_who(APART)
    (found,) = _by_votes(cast_)
    assert (found.by, found.how) == ("left", "votes")
    assert sorted(found.groups["more"]) == [f"l{n}" for n in range(5)]
    assert found.found_by == len(cast_) - len(found.votes) == len(cast_) / 2
    # What is said where they are measured decides nothing of who is in which group.
    turned = [
        Vote(v.annotator, v.prompt, v.family, {"left": 1 - v.habits["left"]})
        if v in found.votes
        else v
        for v in cast_
    ]
    (other,) = _by_votes(turned)
    assert other.groups == found.groups
    pair = _grouping(other)["pairs"][0]
    assert (pair["first"], pair["second"]) == ("more", "less")
    assert pair["apart"]["left"]["high"] < 0
    assert _grouping(other)["found_by"] == _grouping(other)["measured_by"] == len(cast_) / 2


def test_people_who_are_alike_make_no_groups() -> None:
    shares = {f"p{n}": 0.5 for n in range(10)}
    assert sum(bool(list(_by_votes(people_who(shares, seed=s)))) for s in range(30)) <= 1
    assert list(_by_votes([])) == []


def test_every_two_of_three_groups_are_held_against_each_other() -> None:
    groups = {"a": [f"l{n}" for n in range(5)], "b": ["p0", "p1"], "c": ["p2", "p3", "p4"]}
    found = _grouping(Grouping("team", "field", groups, people_who(APART)))
    two = [(pair["first"], pair["second"]) for pair in found["pairs"]]
    assert two == [("a", "b"), ("a", "c"), ("b", "c")]
    assert found["level"] == pytest.approx(1 - 0.05 / 3)
    shares = {name: each["mean"] for name, each in found["habits"]["left"].items()}
    for pair in found["pairs"]:
        apart = shares[pair["first"]] - shares[pair["second"]]
        assert pair["apart"]["left"]["mean"] == pytest.approx(apart)
        assert pair["families"]["left"]["facts"]["mean"] == pytest.approx(apart)
    assert found["pairs"][0]["apart"]["longer"]["n"] == 0  # nobody's votes try that habit


def test_win_rates_of_three_groups_by_hand() -> None:
    won = {"x": [1.0, 0.8], "y": [0.5, 0.5], "z": [0.0, 0.2]}
    pairs = [Pair("", Prompt.of(name, family="facts"), "a", "b") for name in "pq"]
    found = _won_by_group(won, {"one": ["x"], "two": ["y"], "three": ["z"]}, pairs)
    assert [each["mean"] for each in found["groups"].values()] == pytest.approx([0.9, 0.5, 0.1])
    apart = {(p["first"], p["second"]): p["apart"]["mean"] for p in found["pairs"]}
    expected = {("one", "two"): 0.4, ("one", "three"): 0.8, ("two", "three"): 0.4}
    assert apart == {two: pytest.approx(mean) for two, mean in expected.items()}
    assert found["pairs"][1]["families"]["facts"]["mean"] == pytest.approx(0.8)


def test_a_fields_groups_are_those_of_people_who_voted(tmp_path: Path) -> None:
    file = tmp_path / "people.jsonl"
    rows = [
        {"annotator": "l0", "team": "south", "one": "same"},
        {"annotator": "p0", "team": "north", "one": "same"},
        {"annotator": "p1", "team": "north"},
        {"annotator": "stranger", "team": "west", "one": "other"},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = list(_by_field(Evaluate(annotators=str(file)), people_who(APART)))
    assert [(each.by, dict(each.groups)) for each in found] == [
        ("team", {"north": ["p0", "p1"], "south": ["l0"]})
    ]
    assert list(_by_field(Evaluate(annotators=str(file)), [])) == []
    assert list(_by_field(Evaluate(), people_who(APART))) == []
    file.write_text("[]\n")
    with pytest.raises(UserError, match="line 1"):
        list(_by_field(Evaluate(annotators=str(file)), []))


def test_who_is_asked_nothing_is_left_out_of_the_groups() -> None:
    groups = {"more": ["ann", "spammer"], "less": ["spammer"]}
    assert _present(groups, {"ann"}) == {"more": ["ann"]}
    assert _present({}, {"ann"}) == {}


def told(item: str, first: int, second: int, lean: float | None) -> Preference:
    said = "both_bad" if lean is None else "first" if lean > 0 else "second"
    return Preference(item, "ann", first, second, said, lean, None, True)


def test_a_circle_of_models_by_hand() -> None:
    work = cast("Any", SimpleNamespace(seed=lambda *_: 0))
    item = Item("i", Prompt.of("p"), ("x", "y", "z"), ("A", "B", "C"))
    round_ = [told("i", 0, 1, 1.0), told("i", 1, 2, 1.0), told("i", 0, 2, -1.0)]
    found = _cycles(work, Evaluate(), round_, {"i": item})
    assert (found["models"]["triads"], found["models"]["cyclic"]) == (1, 1)
    assert (found["answers"]["triads"], found["answers"]["cyclic"]) == (1, 1)
    order = [*round_[:2], told("i", 0, 2, 1.0)]
    assert _cycles(work, Evaluate(), order, {"i": item})["models"]["cyclic"] == 0


def test_nothing_said_and_the_same_answer_twice_make_no_circle() -> None:
    work = cast("Any", SimpleNamespace(seed=lambda *_: 0))
    same = Item("i", Prompt.of("p"), ("x", " x\n"), ("A", "A"))
    assert _cycles(work, Evaluate(), [told("i", 0, 1, 1.0)], {"i": same}) == {}
    assert _cycles(work, Evaluate(), [told("i", 0, 1, None)], {"i": same}) == {}
    assert _cycles(work, Evaluate(), [], {}) == {}


def test_a_reward_of_nobodys_annotations_has_no_values() -> None:
    written = load_recipe("quickstart", [])
    assert [each.name for each in asked_by(written, "reward")] == ["collect"]
    assert asked_by(written, "collect") == [written.stage("collect")]
    assert asked_by(written, "records") == []
    work = cast("Any", SimpleNamespace(recipe=written))
    settings = Evaluate.model_construct(reward="records")
    assert values(work, settings, {}, None) == {}
