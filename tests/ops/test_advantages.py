from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from heed.ops.advantages import (
    explained_variance,
    gae,
    group_centred,
    group_standardised,
    leave_one_out,
    mean_of_others,
    rewards_to_go,
    token_rewards,
)

GROUPS = [leave_one_out, group_centred, group_standardised]


def everywhere(x: Tensor) -> Tensor:
    return torch.ones_like(x, dtype=torch.bool)


def test_gae_without_traces() -> None:
    """NeMo-RL's test_ppo.py: lambda 0, gamma 1, a terminal reward of 5."""
    values = torch.tensor([[1.0, 2.0, 3.0]])
    rewards = torch.tensor([[0.0, 0.0, 5.0]])
    advantages, returns = gae(rewards, values, everywhere(values), gamma=1.0, lam=0.0)
    assert advantages.tolist() == [[1, 1, 2]]
    assert returns.tolist() == [[2, 3, 5]]


def test_gae_with_discount_and_traces() -> None:
    """From torchtune's test_rewards.py."""
    values = torch.tensor([[0.0, 0.0, 0.0, 1.0]])
    _, returns = gae(values, values, everywhere(values), gamma=0.9, lam=0.95)
    torch.testing.assert_close(
        returns, torch.tensor([[0.65792, 0.7695, 0.9, 1.0]]), atol=1e-5, rtol=0
    )


def test_kl_in_the_reward() -> None:
    """From torchtune: beta .5, log-ratios -.1, -.2, -.3 a token by row, scores 1, 2, 3."""
    log_ratio = torch.tensor([[-0.1], [-0.2], [-0.3]]).expand(3, 3)
    rewards = token_rewards(
        torch.tensor([1.0, 2.0, 3.0]), log_ratio, everywhere(log_ratio), kl_coef=0.5
    )
    want = [[0.05, 0.05, 1.05], [0.1, 0.1, 2.1], [0.15, 0.15, 3.15]]
    torch.testing.assert_close(rewards, torch.tensor(want))


def test_the_score_stands_on_the_last_token_of_each_row() -> None:
    mask = torch.tensor([[0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]]).bool()
    kl = torch.full((4, 4), math.nan).masked_fill(mask, 0.0)
    rewards = token_rewards(torch.tensor([1.0, 2.0, 3.0, 4.0]), kl, mask, kl_coef=1.0)
    assert rewards.tolist() == [[0, 0, 1, 0], [2, 0, 0, 0], [0, 0, 0, 3], [0, 0, 0, 0]]


def test_a_high_kl_lowers_the_reward_and_a_high_score_raises_it() -> None:
    """Guards the sign that the field has flipped before."""
    mask = torch.ones(1, 1, dtype=torch.bool)

    def reward(score: float, kl: float) -> float:
        return token_rewards(torch.tensor([score]), torch.tensor([[kl]]), mask, kl_coef=0.1).item()

    assert reward(1.0, 5.0) < reward(1.0, 0.0) < reward(2.0, 0.0)


@st.composite
def rollouts(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor]:
    """Rewards, values and a mask that is contiguous in each row, with rubbish outside it."""
    width = draw(st.integers(1, 7))
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, width - 1))
        stop = draw(st.integers(start + 1, width))
        rows.append([start <= t < stop for t in range(width)])
    mask = torch.tensor(rows)
    seed = draw(st.integers(0, 2**31))
    noise = torch.randn(2, *mask.shape, generator=torch.Generator().manual_seed(seed))
    rewards, values = noise.double().masked_fill(~mask, 1e9)
    return rewards, values, mask


@settings(deadline=None, max_examples=60)
@given(rollouts(), st.floats(0, 1), st.floats(0, 1))
def test_gae_is_the_discounted_sum_of_td_errors(
    case: tuple[Tensor, Tensor, Tensor], gamma: float, lam: float
) -> None:
    """Eq. 16 written out row by row on the completion alone."""
    rewards, values, mask = case
    advantages, returns = gae(rewards, values, mask, gamma=gamma, lam=lam)
    assert advantages[~mask].eq(0).all()
    assert returns[~mask].eq(0).all()
    for row, inside in enumerate(mask):
        r, v = rewards[row, inside].tolist(), [*values[row, inside].tolist(), 0.0]
        delta = [r[t] + gamma * v[t + 1] - v[t] for t in range(len(r))]
        want = [
            sum((gamma * lam) ** (s - t) * delta[s] for s in range(t, len(r)))
            for t in range(len(r))
        ]
        assert advantages[row, inside].tolist() == pytest.approx(want, abs=1e-9)
        got = [a + x for a, x in zip(want, v, strict=False)]
        assert returns[row, inside].tolist() == pytest.approx(got, abs=1e-9)


@settings(deadline=None, max_examples=30)
@given(rollouts())
def test_without_discount_returns_are_the_rewards_to_come(
    case: tuple[Tensor, Tensor, Tensor],
) -> None:
    rewards, values, mask = case
    _, returns = gae(rewards, values, mask, gamma=1.0, lam=1.0)
    to_come = torch.where(mask, rewards, 0.0).flip(1).cumsum(1).flip(1)
    torch.testing.assert_close(returns, torch.where(mask, to_come, 0.0))


def test_rewards_to_go() -> None:
    mask = torch.tensor([[False, True, True, True], [False, True, False, False]])
    rewards = torch.tensor([[9.0, 1.0, -2.0, 4.0], [9.0, 5.0, 9.0, 9.0]])
    assert rewards_to_go(rewards, mask).tolist() == [[0, 3, 2, 4], [0, 5, 0, 0]]


def test_groups_by_hand() -> None:
    """Two prompts with three samples each; the second group's mean is 0, its deviation 1."""
    scores = torch.tensor([[1.0, 2.0, 6.0], [-1.0, 0.0, 1.0]])
    assert mean_of_others(scores).tolist() == [[4, 3.5, 1.5], [0.5, 0, -0.5]]
    assert leave_one_out(scores).tolist() == [[-3, -1.5, 4.5], [-1.5, 0, 1.5]]
    assert group_centred(scores).tolist() == [[-2, -1, 3], [-1, 0, 1]]
    want = [[-2 / 7**0.5, -1 / 7**0.5, 3 / 7**0.5], [-1, 0, 1]]
    torch.testing.assert_close(group_standardised(scores, eps=0.0), torch.tensor(want))
    # TRL's eps, 1e-4, is the default: 1 / 1.0001.
    assert group_standardised(scores)[1].tolist() == pytest.approx([-0.99990001, 0, 0.99990001])


@pytest.mark.parametrize("estimate", GROUPS)
@pytest.mark.parametrize("score", [0.1, -1 / 3, 1e4, 0.0])
def test_equal_scores_give_exactly_no_advantage(estimate: Any, score: float) -> None:
    """In float32 the mean of seven .1 is not .1: standardised, that would be -.43 (eps 1e-8)."""
    assert not estimate(torch.full((2, 7), score)).any()


@pytest.mark.parametrize("estimate", GROUPS)
def test_a_group_does_not_see_another(estimate: Any) -> None:
    scores = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    alone = torch.cat([estimate(row[None]) for row in scores])
    torch.testing.assert_close(estimate(scores), alone)
    torch.testing.assert_close(estimate(scores + 3.0), alone)
    torch.testing.assert_close(estimate(scores).sum(1), torch.zeros(4), atol=1e-5, rtol=0)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 4), st.integers(2, 9), st.integers(0, 2**31))
def test_leave_one_out_is_the_centred_score_times_g_over_g_minus_1(
    prompts: int, group: int, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    scores = torch.randn(prompts, group, generator=draw, dtype=torch.float64)
    want = group / (group - 1) * group_centred(scores)
    torch.testing.assert_close(leave_one_out(scores), want)


@pytest.mark.parametrize("estimate", GROUPS)
def test_a_group_of_one_is_refused(estimate: Any) -> None:
    with pytest.raises(ValueError, match="group of one"):
        estimate(torch.ones(3, 1))


@pytest.mark.parametrize("estimate", GROUPS)
def test_gradients_of_groups(estimate: Any) -> None:
    scores = torch.randn(2, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert torch.autograd.gradcheck(estimate, scores.requires_grad_())


def test_explained_variance() -> None:
    returns = torch.tensor([[1.0, 2.0, 3.0, 99.0]])
    mask = torch.tensor([[True, True, True, False]])
    assert explained_variance(returns, returns, mask).item() == 1
    assert explained_variance(returns + 7, returns, mask).item() == pytest.approx(1)
    assert explained_variance(torch.zeros_like(returns), returns, mask).item() == 0
    assert explained_variance(-returns, returns, mask).item() == pytest.approx(-3)
    constant = torch.full_like(returns, 2.0)
    assert explained_variance(returns, constant, mask).item() == 0
