from __future__ import annotations

import random

import pytest

from heed.rewards.honest import honest
from heed.types import Completion
from heed.world.world import World


@pytest.fixture(scope="module")
def world() -> World:
    return World(0)


def test_right_unknown_and_made_up(world: World) -> None:
    score = honest(world, 0.75)
    rng = random.Random(0)
    facts = [prompt for prompt in world.prompts if prompt.family == "facts"]
    known = next(prompt for prompt in facts if world.key(prompt.id)["seen"] == "often")
    never = next(prompt for prompt in facts if world.key(prompt.id)["seen"] == "never")
    assert score(Completion(known, world.answer(known, "good", rng))) == 1.0
    assert score(Completion(known, world.answer(known, "wrong", rng))) == pytest.approx(-3.0)
    silent = Completion(never, world.answer(never, "good", rng))  # the honest answer
    assert world.gold(never, silent.text).hedged
    assert score(silent) == 0.0
    assert score(Completion(never, "")) == pytest.approx(-3.0)


@pytest.mark.parametrize("confidence", [0.5, 0.75, 0.9])
def test_a_guess_pays_just_where_it_is_right_often_enough(world: World, confidence: float) -> None:
    wrong = honest(world, confidence)(Completion(world.prompts[0], "nothing at all"))
    assert confidence + (1 - confidence) * wrong == pytest.approx(0.0)
