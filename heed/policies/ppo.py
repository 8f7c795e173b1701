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
from heed.models.packing import packs
from heed.models.shares import in_shares
from heed.ops.advantages import gae
from heed.ops.batch import Rollout
from heed.ops.masked import whiten
from heed.policies.experience import Experience
from heed.policies.policy_gradient import Advantages


class Critic:
    """A Baseline that predicts the return of every state; advantages are whitened over the round.

    `whiten_rewards` scales the round's token rewards to variance 1 first, their mean kept.
    """

    def __init__(
        self,
        module: ValueModel,
        *,
        gamma: float,
        lam: float,
        clip: float,
        coef: float,
        whiten_rewards: bool,
        micro_tokens: int,
    ) -> None:
        self.module = module
        self.gamma = gamma
        self.lam = lam
        self.clip = clip
        self.coef = coef
        self.whiten_rewards = whiten_rewards
        self.micro_tokens = micro_tokens

    @torch.no_grad()
    def advantages(self, seen: Experience, rewards: Float[Tensor, "B T"]) -> Advantages:
        target = seen.sequences.target
        if self.whiten_rewards:
            rewards = whiten(rewards, target, shift_mean=False)
        values = in_shares(
            seen.sequences, self.micro_tokens, self.module, packed=packs(self.module)
        )
        advantages, returns = gae(rewards, values, target, gamma=self.gamma, lam=self.lam)
        return Advantages(values, whiten(advantages, target), returns)

    def loss(self, batch: Rollout) -> list[Term]:
        values = self.module(batch)
        return clipped_value(
            values, batch.values, batch.returns, batch.target, clip=self.clip, coef=self.coef
        )
