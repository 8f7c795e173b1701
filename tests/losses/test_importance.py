"""Weights for answers that an older policy drew."""

from __future__ import annotations

import math

import pytest
import torch

from heed.losses.importance import importance
from heed.losses.policy import ppo_clip, sequence_log_ratio

TARGET = torch.tensor([[False, True, True, True], [False, True, False, False]])
NAN = float("nan")


def test_by_hand() -> None:
    proximal = torch.tensor([[NAN, 0.5, 0.2, 0.9], [NAN, 0.3, NAN, NAN]]).log()
    behaviour = torch.tensor([[NAN, 0.25, 0.4, 0.1], [NAN, 0.3, NAN, NAN]]).log()
    found = importance(proximal, behaviour, TARGET, cap=3.0)
    expected = torch.tensor([[1.0, 2.0, 0.5, 3.0], [1.0, 1.0, 1.0, 1.0]])
    torch.testing.assert_close(found.weight, expected)
    assert found.mean == pytest.approx((2 + 0.5 + 3 + 1) / 4)
    assert found.capped == 0.25
    # k3 of ratios 2, 1/2, 9, 1: r - 1 - log r
    k3 = (1 - math.log(2)) + (-0.5 + math.log(2)) + (8 - math.log(9))
    assert found.kl == pytest.approx(k3 / 4, rel=1e-5)


def test_an_answer_that_is_clipped_as_a_whole_is_weighed_as_a_whole() -> None:
    proximal = torch.tensor([[0.0, -1.0, -2.0, -3.0]])
    behaviour = torch.tensor([[0.0, -1.5, -1.5, -3.6]])
    target = TARGET[:1]
    found = importance(proximal, behaviour, target, cap=3.0, log_ratio=sequence_log_ratio)
    assert found.weight[0, 1:].tolist() == pytest.approx([math.exp(0.2)] * 3)


def test_of_one_policy_the_loss_is_the_plain_one_to_the_bit() -> None:
    torch.manual_seed(0)
    logprobs, old = -torch.rand(2, 4), -torch.rand(2, 4)
    advantages = torch.randn(2, 4)
    found = importance(old, old.clone(), TARGET, cap=1.0)
    assert bool((found.weight == 1).all())
    assert (found.mean, found.capped, found.kl) == (1.0, 0.0, 0.0)
    plain = ppo_clip(logprobs, old, advantages, TARGET, clip_low=0.2, clip_high=0.2)
    weighed = ppo_clip(
        logprobs, old, advantages * found.weight, TARGET, clip_low=0.2, clip_high=0.2
    )
    assert [float(a.total) for a in plain] == [float(b.total) for b in weighed]


def test_weighing_advantages_is_weighing_the_decoupled_loss() -> None:
    """Value and gradient, also where the clip bites and where the weight is cut."""
    torch.manual_seed(1)
    policy = torch.randn(1, 64, dtype=torch.float64, requires_grad=True)
    proximal = policy.detach() + 0.4 * torch.randn(1, 64, dtype=torch.float64)
    behaviour = proximal + torch.randn(1, 64, dtype=torch.float64)
    advantages = torch.randn(1, 64, dtype=torch.float64)
    target = torch.ones(1, 64, dtype=torch.bool)
    found = importance(proximal, behaviour, target, cap=2.0)
    assert 0.0 < found.capped < 1.0
    (term, clipped, _) = ppo_clip(
        policy, proximal, advantages * found.weight, target, clip_low=0.2, clip_high=0.2
    )
    assert 0 < float(clipped.total) < 64
    ratio = (policy - proximal).exp()
    weight = (proximal - behaviour).exp().clamp(max=2.0)
    kept = torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages)
    objective = -(weight * kept).sum()
    torch.testing.assert_close(term.total, objective)
    mine, theirs = (torch.autograd.grad(each, policy)[0] for each in (term.total, objective))
    torch.testing.assert_close(mine, theirs)


def test_expectations_under_the_older_policy_are_those_under_the_newer_one() -> None:
    """Enumerated over a vocabulary of five; cut weights are too small, and say so."""
    torch.manual_seed(2)
    proximal, behaviour = torch.randn(2, 1, 5, dtype=torch.float64).log_softmax(-1)
    target = torch.ones(1, 5, dtype=torch.bool)
    value = torch.randn(1, 5, dtype=torch.float64)
    free = importance(proximal, behaviour, target, cap=1e9)
    mean = (behaviour.exp() * free.weight * value).sum()
    torch.testing.assert_close(mean, (proximal.exp() * value).sum())
    cut = importance(proximal, behaviour, target, cap=1.0)
    assert float((behaviour.exp() * cut.weight).sum()) < 0.99
