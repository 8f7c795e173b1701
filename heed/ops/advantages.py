"""From scores and values to what the policy gradient multiplies.

Dims: B rows, T tokens. A mask is true at a completion's tokens, which stand together: the prompt
before them, padding after. Everything is 0 outside the mask.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heed.ops.masked import masked_var


def token_rewards(
    score: Float[Tensor, "B"],
    kl: Float[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    *,
    kl_coef: float,
) -> Float[Tensor, "B T"]:
    """-kl_coef * kl at every token, and the row's score on top at its last token.

    Ziegler et al. 2019 (arXiv:1909.08593), eq. 2, laid out as in openai/lm-human-preferences: the
    score arrives at the response's last token, not after it.
    """
    remaining = mask.flip(1).cumsum(1).flip(1)
    last = mask & (remaining == 1)
    rewards = torch.where(mask, -kl_coef * kl, 0.0)
    return rewards + torch.where(last, score[:, None], 0.0)


def gae(
    rewards: Float[Tensor, "B T"],
    values: Float[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    *,
    gamma: float,
    lam: float,
) -> tuple[Float[Tensor, "B T"], Float[Tensor, "B T"]]:
    """Generalised advantage estimates and the returns they imply (advantage + value).

    Schulman et al. 2016 (arXiv:1506.02438), eq. 16. A completion ends its episode: nothing is
    bootstrapped after its last token, whether it stopped by itself or was cut.
    """
    rewards = torch.where(mask, rewards, 0.0)
    values = torch.where(mask, values, 0.0)
    advantages = torch.zeros_like(values)
    next_advantage = next_value = torch.zeros_like(values[:, 0])
    for t in reversed(range(values.shape[1])):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        next_advantage = delta + gamma * lam * next_advantage
        next_value = values[:, t]
        advantages[:, t] = next_advantage
    advantages = torch.where(mask, advantages, 0.0)
    return advantages, advantages + values


def explained_variance(
    values: Float[Tensor, "B T"], returns: Float[Tensor, "B T"], mask: Bool[Tensor, "B T"]
) -> Float[Tensor, ""]:
    """1 - Var(returns - values) / Var(returns) over the mask: 1 is perfect, 0 no better than a
    constant, below 0 worse than one. 0 where the returns do not vary.
    """
    spread = masked_var(returns, mask)
    residual = masked_var(returns - values, mask)
    return torch.where(spread > 0, 1 - residual / spread, 0.0)
