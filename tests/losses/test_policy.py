from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from heed.losses.policy import entropy_bonus, ppo_clip
from heed.losses.term import Term

RATIOS = torch.tensor([[0.5, 1.0, 1.5]])
ADVANTAGES = torch.tensor([[1.0, -1.0, 2.0]])
EVERYWHERE = torch.ones(1, 3, dtype=torch.bool)
CLIP = {"clip_low": 0.2, "clip_high": 0.2}


def named(terms: list[Term]) -> dict[str, Term]:
    return {term.name: term for term in terms}


def test_by_hand() -> None:
    """NeMo-RL's loss tests: per token -.5, 1, -2.4, mean -.63333."""
    terms = named(ppo_clip(RATIOS.log(), torch.zeros(1, 3), ADVANTAGES, EVERYWHERE, **CLIP))
    loss = terms["policy_loss"]
    assert (loss.count, loss.weight) == ("tokens", 1)
    assert loss.total.item() / 3 == pytest.approx(-0.63333, abs=1e-5)
    for token, want in enumerate([-0.5, 1.0, -2.4]):
        alone = torch.arange(3)[None] == token
        terms = named(ppo_clip(RATIOS.log(), torch.zeros(1, 3), ADVANTAGES, alone, **CLIP))
        assert terms["policy_loss"].total.item() == pytest.approx(want)


def test_measurements() -> None:
    terms = named(ppo_clip(RATIOS.log(), torch.zeros(1, 3), ADVANTAGES, EVERYWHERE, **CLIP))
    # Of .5 and 1.5, both outside the range, the clip bites only where it makes the loss larger.
    assert terms["clip_fraction"].total.item() == 1
    # KL(old || policy): r - 1 - log r with r = policy / old
    want = sum(ratio - 1 - math.log(ratio) for ratio in (0.5, 1.0, 1.5))
    assert terms["approx_kl"].total.item() == pytest.approx(want, abs=1e-6)
    for name in ("clip_fraction", "approx_kl"):
        assert (terms[name].count, terms[name].weight) == ("tokens", 0)


@pytest.mark.parametrize(
    ("ratio", "advantage", "flows"),
    [(1.5, 1.0, False), (1.5, -1.0, True), (0.5, 1.0, True), (0.5, -1.0, False), (1.1, 1.0, True)],
)
def test_the_clip_stops_only_moves_that_went_far_enough(
    ratio: float, advantage: float, flows: bool
) -> None:
    logprobs = torch.tensor([[math.log(ratio)]], requires_grad=True)
    one = torch.ones(1, 1)
    terms = ppo_clip(logprobs, one * 0, one * advantage, one.bool(), **CLIP)
    (gradient,) = torch.autograd.grad(terms[0].total, logprobs)
    assert gradient.item() == pytest.approx(-advantage * ratio if flows else 0)
    assert terms[1].total.item() == (not flows)


def test_on_policy_the_gradient_is_reinforce() -> None:
    logprobs = torch.log(torch.rand(2, 4, dtype=torch.float64)).requires_grad_()
    advantages = torch.randn(2, 4, dtype=torch.float64)
    target = torch.tensor([[0, 1, 1, 0], [1, 1, 1, 1]]).bool()
    terms = ppo_clip(logprobs, logprobs.detach(), advantages, target, **CLIP)
    (gradient,) = torch.autograd.grad(terms[0].total, logprobs)
    torch.testing.assert_close(gradient, torch.where(target, -advantages, 0.0))
    assert terms[1].total.item() == terms[2].total.item() == 0


@pytest.mark.parametrize("outside", [math.nan, 1e4, -math.inf])
def test_what_stands_outside_the_target_never_counts(outside: float) -> None:
    logprobs = RATIOS.log().clone()
    logprobs[0, 2] = outside
    logprobs.requires_grad_()
    target = torch.tensor([[True, True, False]])
    terms = ppo_clip(logprobs, torch.zeros(1, 3), ADVANTAGES, target, **CLIP)
    assert terms[0].total.item() == pytest.approx(0.5)
    (gradient,) = torch.autograd.grad(terms[0].total, logprobs)
    assert gradient[0].tolist() == pytest.approx([-0.5, 1.0, 0.0])


@settings(deadline=None, max_examples=60)
@given(st.floats(-2, 2), st.floats(-3, 3), st.floats(0.05, 0.5))
def test_the_objective_is_a_lower_bound_of_the_unclipped_one(
    log_ratio: float, advantage: float, clip: float
) -> None:
    one = torch.ones(1, 1, dtype=torch.float64)
    terms = ppo_clip(
        one * log_ratio, one * 0, one * advantage, one.bool(), clip_low=clip, clip_high=clip
    )
    assert terms[0].total.item() >= -advantage * math.exp(log_ratio) - 1e-12
    assert terms[2].total.item() >= 0


def test_entropy_bonus_rewards_randomness() -> None:
    entropy = torch.tensor([[1.0, 2.0, 9.0]], requires_grad=True)
    target = torch.tensor([[True, True, False]])
    term = entropy_bonus(entropy, target, 0.01)
    assert (term.name, term.total.item(), term.count, term.weight) == (
        "entropy",
        3,
        "tokens",
        -0.01,
    )
    assert term.total.requires_grad


def test_without_a_coefficient_entropy_is_only_measured() -> None:
    term = entropy_bonus(torch.ones(1, 3, requires_grad=True), EVERYWHERE, 0.0)
    assert term.total.item() == 3
    assert term.weight == 0
    assert not term.total.requires_grad


def test_gradients() -> None:
    draw = torch.Generator().manual_seed(0)
    logprobs, old, advantages = torch.randn(3, 2, 4, generator=draw, dtype=torch.float64)
    target = torch.tensor([[0, 1, 1, 0], [1, 1, 1, 1]]).bool()

    def loss(logprobs: Tensor) -> Tensor:
        return ppo_clip(logprobs, old, advantages, target, **CLIP)[0].total

    assert torch.autograd.gradcheck(loss, logprobs.requires_grad_())
    assert torch.autograd.gradcheck(
        lambda entropy: entropy_bonus(entropy, target, 0.3).total, logprobs
    )
