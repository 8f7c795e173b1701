"""Conversations and their grades, by hand."""

from __future__ import annotations

import math
import random

import pytest
from judging.scripted import Scripted

from heed.data.mt_bench import Dialogue
from heed.evaluation.dialogues import MOST, world_dialogues
from heed.evaluation.turns import (
    FOOLED,
    TOLD,
    UNSURE,
    Answered,
    Graded,
    Grades,
    asked,
    best_of,
    converse,
    to_grade,
    verdict_on,
)
from heed.types import Message
from heed.world.task import Task
from heed.world.world import World

TWO = Dialogue("two", "chat", ("hello", "and now ?"))
THREE = Dialogue("three", "maths", ("one", "two", "three"), ("", "2"))


def test_each_turn_is_asked_behind_the_policys_own_answers() -> None:
    sampler = Scripted(lambda prompt, seed: f"re {prompt.text}")
    two, three = converse(sampler, [TWO, THREE], [0, 4], seed=1)
    assert two == Answered("two", 0, ("re hello", "re and now ?"), ("stop", "stop"))
    assert three.id == "three/4"
    assert three.answers == ("re one", "re two", "re three")
    last = sampler.asked[-1]
    assert last.messages == (
        Message("user", "one"), Message("assistant", "re one"),
        Message("user", "two"), Message("assistant", "re two"),
        Message("user", "three"),
    )  # fmt: skip
    assert last.family == "maths"
    assert len(set(sampler.seeds)) == 3  # one a turn
    assert len(sampler.asked) == 5
    assert converse(sampler, [], [], seed=1) == []


def test_what_is_graded_is_every_answer_behind_its_own_past() -> None:
    answered = Answered("three", 0, ("a", "b", "c"), ("stop", "length", "stop"))
    first, second, third = to_grade(THREE, answered)
    assert (first.text, second.text, third.text) == ("a", "b", "c")
    assert second.finish == "length"
    assert third.prompt == asked(THREE, ["a", "b"])
    assert [m.content for m in second.prompt.messages] == ["one", "a", "two"]


CATEGORIES = {"q1": "chat", "q2": "chat", "q3": "maths"}


def graded(*values: tuple[str, int, int | None], sample: int = 0) -> list[Graded]:
    return [Graded("ppo", question, sample, turn, value, "") for question, turn, value in values]


GRADES = Grades(
    graded(
        ("q1", 0, 8), ("q1", 1, 6), ("q2", 0, 5), ("q2", 1, 5), ("q3", 0, 9), ("q3", 1, None)
    ),
    CATEGORIES,
)  # fmt: skip


def test_means_by_hand() -> None:
    found = GRADES.to_json()
    assert (found["answers"], found["unparsable"]) == (6, 1)
    assert found["all"]["mean"] == pytest.approx(33 / 5)
    assert found["turns"]["1"]["mean"] == pytest.approx(22 / 3)
    assert found["turns"]["2"]["mean"] == pytest.approx(11 / 2)
    assert found["categories"]["chat"]["mean"] == pytest.approx(6)
    assert found["categories"]["maths"]["mean"] == 9
    # Only q1 and q2 have both grades: drops of 2 and 0, whose t interval is 1 +- 12.706.
    drop = found["drops"]["2"]
    assert (drop["mean"], drop["n"]) == (1, 2)
    assert drop["high"] == pytest.approx(1 + 12.7062, rel=1e-4)


def test_samples_of_one_question_are_one_cluster() -> None:
    rows = [row for n in range(9) for row in graded(("q1", 0, 1 + n), sample=n)]
    assert math.isnan(Grades(rows, CATEGORIES).mean().low)


def test_differences_are_paired_and_turn_around() -> None:
    other = Grades(
        graded(("q1", 0, 7), ("q1", 1, 5), ("q2", 0, 4), ("q2", 1, None), ("q3", 1, 2)), CATEGORIES
    )
    above = GRADES.above(other)
    assert (above.mean, above.n) == (1, 2)  # q3 has no turn that both have a grade of
    assert (above.low, above.high) == (1, 1)  # every pair is apart by the same
    assert other.above(GRADES).mean == -1
    assert GRADES.above(GRADES).mean == 0
    assert GRADES.above(Grades([], CATEGORIES)).n == 0


def test_the_interval_of_the_mean_covers_as_it_says() -> None:
    """Questions of unequal difficulty, three samples each: 95% of intervals hold the truth."""
    held = 0
    for seed in range(300):
        rng = random.Random(seed)
        rows = []
        for q in range(25):
            level = rng.choice((3, 5, 7))
            for n in range(3):
                rows += graded((f"q{q}", 0, level + rng.choice((-1, 0, 1))), sample=n)
        mean = Grades(rows, {}).mean()
        held += mean.low <= 5 <= mean.high
    assert 0.92 <= held / 300 <= 0.98


def test_without_grades_there_is_nothing_to_say() -> None:
    nothing = Grades(graded(("q1", 0, None), ("q1", 1, None)), CATEGORIES)
    found = nothing.to_json()
    assert found["unparsable"] == 2
    assert found["all"]["mean"] is None
    assert found["drops"]["2"]["n"] == 0
    assert best_of({"ppo": nothing}) is None
    assert best_of({"ppo": nothing, "sft": GRADES}) == "sft"
    assert verdict_on(GRADES, nothing)["says"] == UNSURE


def test_a_decoy_graded_as_high_fools_the_judge() -> None:
    def all_of(*values: int) -> Grades:
        rows = [row for at, value in enumerate(values) for row in graded((f"q{at}", 0, value))]
        return Grades(rows, {})

    real = all_of(7, 8, 9, 7, 8, 9)
    assert verdict_on(real, all_of(1, 1, 2, 1, 1, 1))["says"] == TOLD
    assert verdict_on(real, real)["says"] == FOOLED
    assert verdict_on(real, all_of(10, 10, 10, 10, 10, 10))["says"] == FOOLED
    assert verdict_on(real, all_of(1, 10, 10, 1, 10, 10))["says"] == UNSURE


def test_the_worlds_own_questions_go_on_from_the_first_turn() -> None:
    world = World(0)
    found = world_dialogues(world, 0)
    assert found == world_dialogues(World(0), 0)
    assert len({each.id for each in found}) == len(found)
    families = {each.category for each in found}
    assert families == set(world.families)
    texts = {prompt.text for prompt in world.prompts}
    for each in found:
        assert len(each.turns) == 2
        assert set(each.turns) <= texts
        one, two = (task(world, turn) for turn in each.turns)
        assert world.prompt(each.turns[0]).split == "heldout"
        if each.category == "facts":
            assert one.country == two.country  # type: ignore[attr-defined]
            assert one.relation != two.relation  # type: ignore[attr-defined]
        if each.category == "arithmetic":
            assert two.a == one.answer  # type: ignore[attr-defined]
            assert each.references == (str(one.answer), str(two.answer))  # type: ignore[attr-defined]
    assert all(sum(e.category == f for e in found) <= MOST for f in families)
    assert not any(any(each.references) for each in found if each.category == "advice")


def task(world: World, text: str) -> Task:
    return world.task(world.prompt(text).id)
