"""PPO's baseline: a learned critic and generalised advantage estimation.

    A_t = sum_l (gamma lambda)^l delta_{t+l},   delta_t = r_t + gamma V_{t+1} - V_t

Schulman et al. 2017 (arXiv:1707.06347) and 2016 (arXiv:1506.02438); for language models as in
Ziegler et al. 2019 (arXiv:1909.08593).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from heed.losses.term import Term
from heed.losses.value import clipped_value
from heed.models.heads import ValueModel
from heed.ops.advantages import gae
from heed.ops.batch import Rollout, Sequences, in_parts
from heed.policies.policy_gradient import Advantages


class Critic:
    """A Baseline that predicts the return of every state."""

    def __init__(
        self,
        module: ValueModel,
        *,
        gamma: float,
        lam: float,
        clip: float,
        coef: float,
        micro_tokens: int,
    ) -> None:
        self.module = module
        self.gamma = gamma
        self.lam = lam
        self.clip = clip
        self.coef = coef
        self.micro_tokens = micro_tokens

    @torch.no_grad()
    def advantages(self, sequences: Sequences, rewards: Float[Tensor, "B T"]) -> Advantages:
        values = in_parts(sequences, self.micro_tokens, self.module)
        advantages, returns = gae(rewards, values, sequences.target, gamma=self.gamma, lam=self.lam)
        return Advantages(values, advantages, returns)

    def loss(self, batch: Rollout) -> list[Term]:
        values = self.module(batch)
        return clipped_value(
            values, batch.values, batch.returns, batch.target, clip=self.clip, coef=self.coef
        )
