"""What comparisons say of policies and rewards: hand numbers, identities."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from heed.evaluation.asked import Answered, above, estimates, gaps
from heed.evaluation.preferred import (
    Likelihoods,
    accuracies,
    accuracy,
    likelihoods,
    longer,
    preferred_by,
    too_long,
)
from heed.types import Comparison, Completion, Prompt

A, B = Prompt.of("a"), Prompt.of("b")


def test_four_scores_prefer_by_hand() -> None:
    own = Likelihoods([-4.0, -6.0, -2.0], [-5.0, -3.0, -2.0], [2, 6, 1], [1, 2, 1])
    reference = Likelihoods([-2.0, -9.0, -1.0], [-4.0, -4.0, -1.0], [2, 6, 1], [1, 2, 1])
    assert preferred_by(own, reference) == {
        "log_prob": [1.0, 0.0, 0.5],
        "log_prob_token": [1.0, 1.0, 0.5],  # -2 > -5; -1 > -1.5; a tie
        "implicit_reward": [0.0, 1.0, 0.5],  # -2 < -1; 3 > 1; -1 = -1
        "implicit_reward_token": [0.5, 0.5, 0.5],  # -2/2 = -1/1; 3/6 = 1/2; a tie
    }
    assert list(preferred_by(own)) == ["log_prob", "log_prob_token"]


def test_a_policy_has_no_implicit_reward_from_itself() -> None:
    own = Likelihoods([-4.0, -6.0], [-5.0, -3.0], [2, 6], [1, 2])
    found = preferred_by(own, own)
    assert found["implicit_reward"] == found["implicit_reward_token"] == [0.5, 0.5]


def test_swapped_comparisons_are_the_other_share() -> None:
    own = Likelihoods([-4.0, -6.0, -1.0], [-5.0, -3.0, -7.0], [2, 6, 3], [1, 2, 4])
    other = Likelihoods(own.rejected, own.chosen, own.rejected_tokens, own.chosen_tokens)
    for name, values in preferred_by(own).items():
        swapped = preferred_by(other)[name]
        assert [1 - value for value in values] == swapped


def test_likelihoods_are_those_of_the_model_token_by_token(
    toy_lm: Callable[..., Any],
) -> None:
    lm = toy_lm()
    pair = Comparison(Prompt.of("red green"), "yes good", "no")
    found = likelihoods(lm, [pair], context=64)
    for text, total, count in (
        (pair.chosen, found.chosen, found.chosen_tokens),
        (pair.rejected, found.rejected, found.rejected_tokens),
    ):
        before, answer = lm.chat.prompt_ids(pair.prompt), lm.chat.completion_ids(text)
        with torch.no_grad():
            logits = lm.model(torch.tensor([[*before, *answer]])).logits[0].log_softmax(-1)
        own = sum(float(logits[len(before) + at - 1, id]) for at, id in enumerate(answer))
        assert total[0] == pytest.approx(own, abs=1e-4)
        assert count[0] == len(answer)
    assert Likelihoods.joined([found, found]).chosen == [*found.chosen, *found.chosen]
    assert too_long(lm, [pair], 64) == 0
    assert too_long(lm, [pair], 3) == 1


def test_the_longer_answer_is_not_above_itself() -> None:
    pairs = [Comparison(A, "xx", "x"), Comparison(A, "x", "xx"), Comparison(B, "x", "y")]
    assert longer(pairs) == [1.0, 0.0, 0.5]
    found = accuracies({"length": longer(pairs), "right": [1.0, 1.0, 1.0]}, pairs)
    assert found["length"]["above_length"].mean == 0.0
    assert found["right"]["accuracy"].mean == 1.0
    assert found["right"]["above_length"].mean == 0.5  # of prompt means: .5 and .5


def test_several_comparisons_of_a_prompt_are_one_piece_of_evidence() -> None:
    many = [Comparison(Prompt.of(str(n)), "x", "y") for n in range(40)]
    few = [Comparison(Prompt.of(str(n % 4)), "x", "y") for n in range(40)]
    right = [float(n % 4 < 2) for n in range(40)]
    widths = [found.high - found.low for found in (accuracy(right, pairs) for pairs in (many, few))]
    assert widths[1] > 2 * widths[0]


def said(*texts: str, prompt: Prompt = A) -> list[Completion]:
    return [Completion(prompt, text) for text in texts]


def test_answers_are_measured_without_a_reference_or_log_probs() -> None:
    answers = [*said("one two", "one two"), *said("three", prompt=B)]
    found = estimates(Answered(answers, scores={"mine": [1.0, 2.0, 3.0]}).samples())
    assert found["mine"].mean == 2.0
    assert found["length"].mean == pytest.approx(5 / 3)
    assert found["distinct"].mean == 0.75
    assert "kl" not in found
    assert "entropy" not in found
    alone = estimates(Answered([*said("x"), *said("y", prompt=B)]).samples())
    assert "distinct" not in alone


def test_gaps_are_paired_with_the_last_and_zero_for_a_twin() -> None:
    answers = [*said("one two three"), *said("three", prompt=B)]
    shorter = [*said("one"), *said("three", prompt=B)]
    measured = {
        "long": Answered(answers).samples(),
        "twin": Answered(shorter).samples(),
        "last": Answered(shorter).samples(),
    }
    found = gaps(measured, "last")
    assert found["long"]["length"].mean == 1.0
    assert found["twin"]["length"].mean == found["twin"]["length"].high == 0.0
    assert "kl" not in found["long"]


def test_an_answer_above_the_chosen_one_needs_a_chosen_one() -> None:
    answers = [*said("x", "y", "z"), *said("x", prompt=B)]
    assert above([2.0, 1.0, 0.0, 9.0], answers, {"a": 1.0})[:3] == [1.0, 0.5, 0.0]
    assert math.isnan(above([2.0, 1.0, 0.0, 9.0], answers, {"a": 1.0})[3])
