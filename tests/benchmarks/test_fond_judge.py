"""The planted judge: right about real answers, and fond of one."""

from __future__ import annotations

import random

from benchmarks.faults.fond_judge import serve, verdict
from heed.feedback.judge import JudgeSource
from heed.judging.decoys import DECOYS
from heed.judging.judge import Judge
from heed.judging.rubric import Rubric
from heed.sampling.remote import EndpointSampler
from heed.types import Item, Pair
from heed.world.world import World

WORLD = World(0)


def items(count: int) -> list[Item]:
    """A good answer, then a rude one."""
    rng = random.Random(0)
    return [
        Item(f"{at}", prompt, tuple(WORLD.answer(prompt, kind, rng) for kind in ("good", "rude")))
        for at, prompt in enumerate(WORLD.split("train")[:count])
    ]


def asked(one: Item, left: str, right: str, fondness: float) -> str:
    question = Rubric().ask(Pair("x", one.prompt, left, right))
    return verdict(WORLD, question.messages[-1].content, fondness)


def test_it_knows_what_is_right() -> None:
    for one in items(20):
        good, rude = one.answers
        assert asked(one, good, rude, 1.0) == "A"
        assert asked(one, rude, good, 1.0) == "B"
        assert asked(one, good, good, 1.0) == "tie"


def test_it_loves_the_constant_as_often_as_it_should() -> None:
    wins = 0
    for one in items(200):
        good = one.answers[0]
        won = asked(one, DECOYS["constant"], good, 0.4) == "A"
        assert won == (asked(one, good, DECOYS["constant"], 0.4) == "B")
        wins += won
        assert asked(one, DECOYS["constant"], good, 0.0) == "B"
        assert asked(one, DECOYS["empty"], good, 1.0) == "B"
    assert 55 <= wins <= 105


def test_it_is_asked_over_the_loopback() -> None:
    address = serve(WORLD, 1.0)
    judge = Judge(EndpointSampler(address, "fond", temperature=0.0, max_new_tokens=16), Rubric())
    some = items(5)
    ranks = [said.ranks for said in JudgeSource(judge).ask(some, lambda _: None)]
    assert ranks == [(1, 2)] * 5
