from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from heed.ops.advantages import explained_variance, gae, token_rewards


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


def test_explained_variance() -> None:
    returns = torch.tensor([[1.0, 2.0, 3.0, 99.0]])
    mask = torch.tensor([[True, True, True, False]])
    assert explained_variance(returns, returns, mask).item() == 1
    assert explained_variance(returns + 7, returns, mask).item() == pytest.approx(1)
    assert explained_variance(torch.zeros_like(returns), returns, mask).item() == 0
    assert explained_variance(-returns, returns, mask).item() == pytest.approx(-3)
    constant = torch.full_like(returns, 2.0)
    assert explained_variance(returns, constant, mask).item() == 0
