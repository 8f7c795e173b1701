from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from heed.losses.preference import PREFERENCE_LOSSES, PairLogprobs, dpo, preference_terms


def pairs(
    chosen: list[float],
    rejected: list[float],
    ref_chosen: list[float] | None = None,
    ref_rejected: list[float] | None = None,
) -> PairLogprobs:
    zero = [0.0] * len(chosen)
    rows = (chosen, rejected, ref_chosen or zero, ref_rejected or zero, zero, zero, zero)
    return PairLogprobs(*(torch.tensor(row, dtype=torch.float64) for row in rows))


def test_dpo_by_hand() -> None:
    """From torchtune's test_dpo_loss.py: beta .1, differences of log-ratios of 0, 10 and 20."""
    logprobs = pairs([-5, -5, 0], [-5, -10, -15], [-5, -10, 0], [-5, -5, 5])
    want = torch.tensor([0.693147, 0.313262, 0.126928], dtype=torch.float64)
    torch.testing.assert_close(dpo(logprobs, 0.1), want, atol=1e-6, rtol=0)


@pytest.mark.parametrize("beta", [0.01, 0.1, 5.0])
def test_a_policy_that_is_the_reference_has_ln_2(beta: float) -> None:
    logprobs = pairs([-3, -70], [-9, -1], [-3, -70], [-9, -1])
    assert dpo(logprobs, beta).tolist() == pytest.approx([math.log(2)] * 2, abs=1e-12)
    # TRL's tests/invariant/references/dpo.json, in single precision
    assert dpo(logprobs, beta)[0].item() == pytest.approx(0.6931471825, abs=1e-7)


def test_dpo_moves_chosen_up_and_rejected_down() -> None:
    logprobs = pairs([-4], [-6], [-5], [-5])
    logprobs.chosen.requires_grad_()
    logprobs.rejected.requires_grad_()
    dpo(logprobs, 0.1).sum().backward()
    assert logprobs.chosen.grad is not None
    assert logprobs.rejected.grad is not None
    # d loss / d chosen = -beta sigmoid(-(reward gap)), the paper's eq. 8
    want = -0.1 / (1 + math.exp(0.2))
    assert logprobs.chosen.grad.item() == pytest.approx(want)
    assert logprobs.rejected.grad.item() == pytest.approx(-want)


def test_terms() -> None:
    logprobs = pairs([-1, -2, -3], [-2, -2, -1], [-2, -2, -2], [-2, -2, -2])
    weight = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    losses = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64, requires_grad=True)
    terms = preference_terms(losses, logprobs, weight, 0.5)
    assert [(t.name, t.total.item(), t.count, t.weight) for t in terms] == [
        ("preference", 1 + 20 + 50, "weight", 1),
        ("accuracy", 1.5, "rows", 0),
        ("reward_margin", -0.5, "rows", 0),
        ("chosen_reward", 0, "rows", 0),
        ("rejected_reward", 0.5, "rows", 0),
    ]
    assert [term.total.requires_grad for term in terms] == [True, False, False, False, False]


numbers = st.floats(-50, 0)


@settings(deadline=None, max_examples=60)
@given(numbers, numbers, numbers, numbers, st.floats(0.01, 2))
def test_dpo_sees_the_difference_of_log_ratios_alone(
    chosen: float, rejected: float, ref_chosen: float, ref_rejected: float, beta: float
) -> None:
    logprobs = pairs([chosen], [rejected], [ref_chosen], [ref_rejected])
    gap = beta * ((chosen - ref_chosen) - (rejected - ref_rejected))
    assert dpo(logprobs, beta).item() == pytest.approx(
        math.log1p(math.exp(-abs(gap))) + max(-gap, 0), abs=1e-9
    )
    swapped = pairs([rejected], [chosen], [ref_rejected], [ref_chosen])
    assert dpo(swapped, beta).item() - dpo(logprobs, beta).item() == pytest.approx(gap, abs=1e-9)


@pytest.mark.parametrize("name", PREFERENCE_LOSSES)
def test_gradients(name: str) -> None:
    draw = torch.Generator().manual_seed(0)
    rows = -4 * torch.rand(7, 5, generator=draw, dtype=torch.float64)
    logprobs = PairLogprobs(*rows)
    lengths = torch.arange(3.0, 8.0, dtype=torch.float64)
    logprobs = replace(logprobs, chosen_tokens=lengths, rejected_tokens=lengths + 1)

    def function(chosen: Tensor, rejected: Tensor) -> Tensor:
        return PREFERENCE_LOSSES[name](replace(logprobs, chosen=chosen, rejected=rejected), 0.3)

    inputs = (logprobs.chosen.requires_grad_(), logprobs.rejected.requires_grad_())
    assert torch.autograd.gradcheck(function, inputs)
