"""The baseline without a critic: an answer against the other answers to its prompt.

    A[i, t] = estimate(scores of the group)[i] + C[i, t] - mean over j != i of C[j, 1]
    C[i, t] = - kl_coef * sum over s >= t of kl[i, s]

C is what KL still costs from token t on (0 where KL is a loss). It keeps its own scale: where an
estimate divides scores by their spread, the price of a nat stays the price of a nat.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heed.losses.term import Term
from heed.ops.advantages import mean_of_others, rewards_to_go
from heed.ops.batch import Rollout
from heed.ops.masked import whiten
from heed.policies.experience import Experience
from heed.policies.policy_gradient import Advantages

Estimate = Callable[[Float[Tensor, "P G"]], Float[Tensor, "P G"]]
"""From the scores of groups to their advantages."""


class Others:
    """A Baseline that learns nothing; `whitened` makes a round's advantages mean 0, variance 1."""

    def __init__(self, group: int, estimate: Estimate, *, whitened: bool = False) -> None:
        self.module = nn.Module()
        self.group = group
        self.estimate = estimate
        self.whitened = whitened

    def advantages(self, seen: Experience, rewards: Float[Tensor, "B T"]) -> Advantages:
        target = seen.sequences.target
        to_go = rewards_to_go(rewards, target)
        scores = seen.scores
        cost = to_go - scores[:, None]
        estimated = self.estimate(scores.view(-1, self.group)).flatten()
        advantages = estimated[:, None] + cost - self._baseline(rewards.sum(1) - scores)[:, None]
        if self.whitened:
            advantages = whiten(advantages, target)
        values = self._baseline(rewards.sum(1))[:, None].expand_as(rewards)
        return Advantages(
            values=torch.where(target, values, 0.0),
            advantages=torch.where(target, advantages, 0.0),
            returns=to_go,
        )

    def loss(self, batch: Rollout) -> list[Term]:
        """Nothing is learned."""
        return []

    def _baseline(self, totals: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
        """The mean over the group's other answers; 0 where there are none."""
        if self.group == 1:
            return torch.zeros_like(totals)
        return mean_of_others(totals.view(-1, self.group)).flatten()
