"""What a model picks of its own answers, and what it writes."""

from __future__ import annotations

import math

import pytest

from heed.evaluation.measures import Samples
from heed.evaluation.picking import likelihood, picking
from heed.types import Completion, Prompt

A, B = Prompt.of("a"), Prompt.of("b")


def answer(prompt: Prompt, text: str, *logprobs: float) -> Completion:
    return Completion(prompt, text, logprobs=logprobs)


SAMPLES = Samples(
    [
        answer(A, "long and likely", -0.1, -0.2, -0.3),  # -.2 a token, though -.6 in all
        answer(A, "short", -0.5),
        answer(A, "unlikely", -2.0, -2.0),
        answer(B, "said twice", -1.0),
        answer(B, "said twice", -1.0),
        answer(B, "rare", -3.0),
    ],
    {"gold": [1.0, 0.0, 2.0, 0.0, 1.0, -4.0]},
)


def test_by_hand() -> None:
    found = picking(SAMPLES, "gold")
    assert found["writes"].mean == pytest.approx((1.0 - 1.0) / 2)
    assert found["picks"].mean == pytest.approx((1.0 + 0.5) / 2)
    assert found["best"].mean == pytest.approx((2.0 + 1.0) / 2)
    assert found["gap"].mean == pytest.approx(0.75)
    # Paired by prompt: the gaps are 0 and 1.5, their standard error .75; t with one degree is wide.
    assert found["gap"].high - found["gap"].mean == pytest.approx(0.75 * 12.706, rel=1e-4)
    assert all(estimate.n == 2 for estimate in found.values())


def test_one_answer_a_prompt_leaves_nothing_to_pick() -> None:
    found = picking(SAMPLES.where([True, False, False, True, False, False]), "gold")
    assert found["gap"].mean == found["gap"].low == found["gap"].high == 0.0
    assert found["writes"] == found["picks"] == found["best"]


def test_equal_values_leave_no_gap() -> None:
    same = Samples(SAMPLES.completions, {"gold": [0.3] * 6})
    assert picking(same, "gold")["gap"].mean == pytest.approx(0.0, abs=1e-12)


def test_nothing_is_made_up_where_no_likelihood_is_known() -> None:
    assert likelihood(SAMPLES.completions[0]) == pytest.approx(-0.2)
    with pytest.raises(ValueError, match="'why' to 'a' carries no log-probs"):
        likelihood(answer(A, "why"))


def test_without_answers_nothing_is_known() -> None:
    found = picking(SAMPLES.where([False] * 6), "gold")
    assert math.isnan(found["gap"].mean)
