"""Levels of reward, and what is learned with them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from heed.models.rows import demonstration_rows
from heed.ops.order import Order
from heed.policies.in_context import with_system
from heed.policies.reward_conditioned import LEVELS, conditioned, levels_of
from heed.policies.sft import sft
from heed.types import Completion, Demonstration, Prompt


def test_levels_by_hand() -> None:
    assert levels_of([0.3, 0.1, 0.4, 0.2], 4) == [3, 1, 4, 2]
    assert levels_of([0.3, 0.1, 0.4, 0.2], 2) == [2, 1, 2, 1]
    assert levels_of([5.0, -1.0, 7.0], 5) == [3, 1, 5]


def test_equal_scores_share_a_level() -> None:
    assert levels_of([0.0] * 9 + [1.0], 4) == [2] * 9 + [4]  # mean rank 5 of 10
    assert levels_of([0.0] + [1.0] * 9, 4) == [1] + [3] * 9
    assert levels_of([2.0] * 6, 5) == [3] * 6


@given(some.lists(some.floats(-9, 9), min_size=1, max_size=40), some.integers(1, 7))
def test_levels_keep_the_order(scores: list[float], levels: int) -> None:
    found = levels_of(scores, levels)
    assert all(1 <= level <= levels for level in found)
    ranked = [level for _, level in sorted(zip(scores, found, strict=True))]
    assert ranked == sorted(ranked)
    counts = [found.count(level) for level in range(1, levels + 1)]
    if len(set(scores)) == len(scores):
        assert max(counts) - min(counts) <= 1


def test_among_all_or_among_those_to_its_prompt(toy_prompts: list[Prompt]) -> None:
    samples = [Completion(toy_prompts[at % 2], "yes") for at in range(6)]
    scores = [0.0, 10.0, 1.0, 30.0, 2.0, 20.0]
    assert LEVELS["all"](samples, scores, 3) == [1, 2, 1, 3, 2, 3]
    assert LEVELS["prompt"](samples, scores, 3) == [1, 1, 2, 3, 3, 2]
    assert LEVELS["prompt"](samples[:2], scores[:2], 3) == [2, 2]  # alone, an answer is middling


def test_every_answer_stands_behind_its_level(toy_prompts: list[Prompt]) -> None:
    samples = [Completion(prompt, "yes") for prompt in toy_prompts[:2]]
    shown = conditioned(samples, [2, 1], {1: "bad", 2: "good"}.__getitem__)
    assert shown == [
        Demonstration(with_system(toy_prompts[0], "good"), "yes"),
        Demonstration(with_system(toy_prompts[1], "bad"), "yes"),
    ]


def test_with_one_level_it_is_sft_on_the_samples(toy_lm: Any, toy_prompts: Any, place: Any) -> None:
    """One level says nothing, so nothing is written: the same rows, the same gradient."""
    samples = [Completion(prompt, text) for prompt in toy_prompts for text in ("yes", "no no")]
    own = conditioned(samples, levels_of([float(i) for i in range(12)], 1), lambda _: "")
    plain = [Demonstration(each.prompt, each.text) for each in samples]
    assert own == plain
    gradients = []
    for shown in (own, plain):
        lm = toy_lm()
        method = sft(lm, demonstration_rows(lm.chat, shown, 64), Order(12, 6, 0))
        (batch,) = method.batches(0)
        sum(term.total for term in method.loss(batch)).backward()  # type: ignore[union-attr]
        gradients.append([weight.grad for weight in lm.model.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert torch.equal(one, other)


def test_micro_batches_have_the_same_gradient(toy_lm: Any, toy_prompts: Any) -> None:
    samples = [Completion(prompt, "yes no" * (1 + at % 2)) for at, prompt in enumerate(toy_prompts)]
    shown = conditioned(samples, levels_of([3.0, 1.0, 2.0, 6.0, 5.0, 4.0], 3), "one {}".format)
    gradients = []
    for micro_tokens in (1000, 20):
        lm = toy_lm()
        method = sft(lm, demonstration_rows(lm.chat, shown, 64), Order(6, 6, 0))
        (batch,) = method.batches(0)
        counts = batch.counts()
        for micro in batch.split(micro_tokens):
            for term in method.loss(micro):
                (term.total * term.weight / counts[term.count]).backward()
        gradients.append([weight.grad for weight in lm.model.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert one == pytest.approx(other, abs=1e-6)
