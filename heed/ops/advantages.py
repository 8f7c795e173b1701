"""From scores and values to what the policy gradient multiplies.

Dims: B rows, T tokens; P prompts with G samples each, a group (B = P * G). A mask is true at a
completion's tokens, which stand together: the prompt before them, padding after. Everything is 0
outside the mask.
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


def rewards_to_go(rewards: Float[Tensor, "B T"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B T"]:
    """The sum of rewards from each token on: what came before a token is no merit of it."""
    to_go = torch.where(mask, rewards, 0.0).flip(1).cumsum(1).flip(1)
    return torch.where(mask, to_go, 0.0)


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


def mean_of_others(x: Float[Tensor, "P G"]) -> Float[Tensor, "P G"]:
    """For each entry of a group, the mean of the other G - 1: a baseline that it had no part in."""
    lowest, above = _from_lowest(x)
    return lowest + (above.sum(1, keepdim=True) - above) / (x.shape[1] - 1)


def leave_one_out(scores: Float[Tensor, "P G"]) -> Float[Tensor, "P G"]:
    """RLOO: r_i - 1 / (G - 1) * sum over j != i of r_j.

    Ahmadian et al. 2024 (arXiv:2402.14740); Kool et al. 2019. The same as G / (G - 1) times
    `group_centred`. Exactly 0 where a group's scores are equal.
    """
    return scores - mean_of_others(scores)


def group_centred(scores: Float[Tensor, "P G"]) -> Float[Tensor, "P G"]:
    """Dr. GRPO: r_i - mean(r), the group's own scale kept.

    Liu et al. 2025 (arXiv:2503.20783). Exactly 0 where a group's scores are equal.
    """
    _, above = _from_lowest(scores)
    return above - above.mean(1, keepdim=True)


def group_standardised(scores: Float[Tensor, "P G"], *, eps: float = 1e-4) -> Float[Tensor, "P G"]:
    """GRPO: (r_i - mean(r)) / (std(r) + eps).

    Shao et al. 2024 (arXiv:2402.03300), section 4.1.2. The standard deviation is the unbiased one
    (over G - 1) and eps is 1e-4, as in TRL; the paper names neither. Exactly 0 where a group's
    scores are equal: dividing the rounding of a mean by so small a number would make up a signal.
    """
    return group_centred(scores) / (scores.std(1, keepdim=True) + eps)


def _from_lowest(
    x: Float[Tensor, "P G"],
) -> tuple[Float[Tensor, "P 1"], Float[Tensor, "P G"]]:
    """Each group's smallest entry, and how far each entry lies above it: exactly 0 where all are
    equal. In float32 the mean of seven .1 is not .1.
    """
    if x.shape[1] < 2:
        raise ValueError("a group of one sample has nothing to be compared with")
    lowest = x.amin(1, keepdim=True)
    return lowest, x - lowest


def explained_variance(
    values: Float[Tensor, "B T"], returns: Float[Tensor, "B T"], mask: Bool[Tensor, "B T"]
) -> Float[Tensor, ""]:
    """1 - Var(returns - values) / Var(returns) over the mask: 1 is perfect, 0 no better than a
    constant, below 0 worse than one. 0 where the returns do not vary.
    """
    spread = masked_var(returns, mask)
    residual = masked_var(returns - values, mask)
    return torch.where(spread > 0, 1 - residual / spread, 0.0)
