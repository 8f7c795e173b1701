"""Items to annotate, drawn from a sampler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from heed.feedback.items import sample_items
from heed.sampling.local import LocalSampler
from heed.types import Completion, Item, Prompt

PROMPTS = [Prompt.of(f"question {i}") for i in range(5)]


class Script:
    """A Sampler that answers by a function of how often it was asked."""

    def __init__(self, answer: Any, finish: Any = lambda turn: "stop") -> None:
        self.answer = answer
        self.finish = finish
        self.turns = 0
        self.asked: list[str] = []

    def sample(self, prompts: Sequence[Prompt], *, n: int = 1, seed: int = 0) -> list[Completion]:
        made = []
        for prompt in prompts:
            self.asked.append(prompt.id)
            for _ in range(n):
                self.turns += 1
                text, finish = self.answer(self.turns), self.finish(self.turns)
                made.append(Completion(prompt, text, finish, model="script"))
        return made


def draw(
    sampler: Any,
    count: int,
    prompts: Sequence[Prompt] = PROMPTS,
    seed: int = 0,
    answers: int = 2,
) -> list[Item]:
    seen: list[int] = []
    items = sample_items(
        sampler, prompts, count, seed=seed, name="train", progress=seen.append, answers=answers
    )
    assert seen == sorted(seen)
    assert seen[-1] == len(items)
    return items


def test_answers_are_finished_and_unlike(toy_lm: Any, toy_prompts: Any) -> None:
    sampler = LocalSampler(toy_lm(ends=2.0), max_new_tokens=4, model_name="sft")
    pairs = draw(sampler, 40, toy_prompts)
    assert [pair.id for pair in pairs] == [f"train-{i}" for i in range(40)]
    assert all(len({text.strip() for text in pair.answers}) == 2 for pair in pairs)
    assert all(len(text.split()) < 4 for pair in pairs for text in pair.answers)
    assert {model for pair in pairs for model in pair.models} == {"sft"}
    assert draw(sampler, 40, toy_prompts) == pairs
    assert draw(sampler, 40, toy_prompts, seed=1) != pairs


def test_cut_answers_make_no_pair() -> None:
    sampler = Script(str, lambda turn: "length" if turn % 4 == 2 else "stop")
    pairs = draw(sampler, 20)
    assert {int(text) % 4 for pair in pairs for text in pair.answers} == {0, 3}


def test_sides_are_drawn_at_random() -> None:
    pairs = draw(Script(str), 400)
    first_on_the_left = sum(int(left) < int(right) for left, right in (p.answers for p in pairs))
    assert 160 < first_on_the_left < 240


def test_every_order_of_more_answers_is_as_likely() -> None:
    items = draw(Script(str), 1200, answers=3)
    orders = Counter(tuple(int(text) % 3 for text in item.answers) for item in items)
    assert len(orders) == 6
    assert all(140 < count < 260 for count in orders.values())


def test_prompts_come_in_turn() -> None:
    sampler = Script(str)
    pairs = draw(sampler, 12)
    for start in (0, 5):
        assert sorted(sampler.asked[start : start + 5]) == [prompt.id for prompt in PROMPTS]
    assert len(sampler.asked) == len(pairs) == 12


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_it_gives_up_where_nothing_can_be_compared(finish: str) -> None:
    same = Script(lambda turn: "yes " if turn % 2 else "yes", lambda turn: finish)
    assert draw(same, 7) == []
    assert len(same.asked) == 10 * len(PROMPTS)


def test_fewer_pairs_where_the_policy_dries_up() -> None:
    sampler = Script(lambda turn: str(turn) if turn <= 6 else "always the same")
    assert len(draw(sampler, 50)) == 3
