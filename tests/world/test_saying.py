"""What an answer says is right, read by hand."""

from __future__ import annotations

import random

import pytest

from heed.world.advice import draw as draw_advice
from heed.world.arithmetic import Calculation
from heed.world.facts import Fact
from heed.world.reading import Reading
from heed.world.saying import SAID, said
from heed.world.world import World

GRAMMAR = World(0).grammar
LIMA = Fact("capital", "Peru", "Lima", "often", ("Quito",))
SUM = Calculation(3, "plus", 4, 7)


def read(text: str) -> Reading:
    return Reading(text, GRAMMAR)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("the capital of peru is lima .", "Lima"),
        ("LIMA!", "Lima"),
        ("it is quito .", "Quito"),
        ("it is quito or lima . or lima .", "Lima and Quito"),
        ("people in peru speak spanish .", None),  # a language is no capital
        ("limabean", None),
        ("i do not know .", None),
        ("", None),
        ("\n \t", None),
        ("{core} %s \x00 <b>", None),
    ],
)
def test_a_fact(text: str, value: str | None) -> None:
    assert said(LIMA, read(text)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3 plus 4 is 7 .", "7"),
        ("7", "7"),
        ("3 4", "4"),  # the last of two that stand side by side
        ("the answer is 12 .", "12"),
        ("seven", None),
        ("x7y", None),
        ("", None),
    ],
)
def test_a_sum(text: str, value: str | None) -> None:
    assert said(SUM, read(text)) == value


def test_right_answers_of_the_world_say_what_is_right() -> None:
    world = World(0)
    for prompt in world.split("heldout"):
        task = world.task(prompt.id)
        if type(task) in SAID:
            answer = str(task.answer)  # type: ignore[attr-defined]
            assert said(task, read(f"It is {answer}.")) == answer


def test_what_has_no_single_right_answer_says_none() -> None:
    task = draw_advice(random.Random(0))[0].task
    assert type(task) not in SAID
    assert said(task, read("it is lima . 7")) is None
