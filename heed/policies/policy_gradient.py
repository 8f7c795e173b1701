"""Policy gradients for language models: sample, score, weigh, learn.

    maximise  E[ r(x, y) ] - kl_coef * KL(pi || reference)

What turns rewards into advantages is a `Baseline` passed in: PPO's is a learned critic with GAE.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heed.losses.policy import entropy_bonus, ppo_clip
from heed.losses.term import Term
from heed.models.forward import completion_logprobs
from heed.models.language_model import LanguageModel
from heed.models.reference import Reference
from heed.ops.advantages import explained_variance, token_rewards
from heed.ops.batch import Rollout, Sequences
from heed.ops.masked import whiten
from heed.ops.order import Order
from heed.policies.experience import Experience, experience
from heed.policies.kl_control import KlController
from heed.run import derive_seed
from heed.types import Completion, Prompt, RewardFn, Sampler


@dataclass(frozen=True)
class Advantages:
    """What a baseline makes of token rewards; all zero outside the completion."""

    values: Float[Tensor, "B T"]
    advantages: Float[Tensor, "B T"]
    returns: Float[Tensor, "B T"]


class Baseline(Protocol):
    """What is subtracted from the return to lower its variance."""

    @property
    def module(self) -> nn.Module:
        """What trains beside the policy (empty where nothing is learned)."""
        ...

    def advantages(self, sequences: Sequences, rewards: Float[Tensor, "B T"]) -> Advantages: ...

    def loss(self, batch: Rollout) -> list[Term]: ...


@dataclass(frozen=True)
class Surrogate:
    """How a round of samples is used."""

    rollouts: int
    epochs: int
    minibatches: int
    clip: float
    entropy_coef: float
    missing_eos: float
    whiten_rewards: bool
    temperature: float
    micro_tokens: int


class PolicyGradient:
    """A Method whose outer iteration is one round of sampling and `epochs` passes over it."""

    def __init__(
        self,
        policy: LanguageModel,
        baseline: Baseline,
        *,
        sampler: Sampler,
        prompts: Sequence[Prompt],
        reward: RewardFn,
        reference: Reference,
        kl: KlController,
        surrogate: Surrogate,
        seed: int,
        watch: Mapping[str, RewardFn],
    ) -> None:
        self.module = nn.ModuleDict({"policy": policy.model, "baseline": baseline.module})
        self.policy = policy
        self.baseline = baseline
        self.sampler = sampler
        self.prompts = prompts
        self.reward = reward
        self.reference = reference
        self.kl = kl
        self.surrogate = surrogate
        self.seed = seed
        self.watch = watch
        self.measured: dict[str, float] = {}

    def batches(self, iteration: int) -> Iterator[Rollout]:
        surrogate = self.surrogate
        completions = self._sample(iteration)
        seen = experience(
            completions,
            self.reward,
            self.reference,
            temperature=surrogate.temperature,
            missing_eos=surrogate.missing_eos,
            micro_tokens=surrogate.micro_tokens,
            pad=self.policy.chat.pad_id,
            device=self.policy.device,
        )
        rollout = self._weigh(seen)
        self.measured = self._measure(completions, seen, rollout)
        order = Order(
            len(rollout), len(rollout) // surrogate.minibatches, derive_seed(self.seed, iteration)
        )
        for step in range(surrogate.epochs * surrogate.minibatches):
            yield rollout.rows(order.indices(step).to(rollout.ids.device))

    def _sample(self, iteration: int) -> list[Completion]:
        order = Order(len(self.prompts), self.surrogate.rollouts, self.seed)
        prompts = [self.prompts[i] for i in order.indices(iteration).tolist()]
        return self.sampler.sample(prompts, seed=derive_seed(self.seed, "sample", iteration))

    def _weigh(self, seen: Experience) -> Rollout:
        """Rewards with the KL penalty, then advantages, whitened over the whole round."""
        target = seen.sequences.target
        rewards = token_rewards(seen.scores, seen.kl, target, kl_coef=self.kl.coef)
        if self.surrogate.whiten_rewards:
            rewards = whiten(rewards, target, shift_mean=False)
        weighed = self.baseline.advantages(seen.sequences, rewards)
        return Rollout(
            ids=seen.sequences.ids,
            mask=seen.sequences.mask,
            target=target,
            logprobs=seen.logprobs,
            values=weighed.values,
            advantages=whiten(weighed.advantages, target),
            returns=weighed.returns,
        )

    def _measure(
        self, completions: Sequence[Completion], seen: Experience, rollout: Rollout
    ) -> dict[str, float]:
        """Means over the round's completions, before learning from them."""
        kl = seen.kl.sum(1).mean()
        return {
            "proxy": float(seen.proxy.mean()),
            **{name: _mean(fn(completions)) for name, fn in self.watch.items()},
            "score": float(seen.scores.mean()),
            "kl": float(kl),
            "objective": float(seen.scores.mean() - self.kl.coef * kl),
            "kl_coef": self.kl.coef,
            "length": _mean([len(completion.text.split()) for completion in completions]),
            "unfinished": _mean([completion.finish != "stop" for completion in completions]),
            "explained_variance": float(
                explained_variance(rollout.values, rollout.returns, rollout.target)
            ),
        }

    def loss(self, batch: Rollout) -> list[Term]:
        surrogate = self.surrogate
        logprobs, entropy = completion_logprobs(
            self.policy.model, batch, temperature=surrogate.temperature
        )
        return [
            *ppo_clip(
                logprobs, batch.logprobs, batch.advantages, batch.target, clip=surrogate.clip
            ),
            entropy_bonus(entropy, batch.target, surrogate.entropy_coef),
            *self.baseline.loss(batch),
        ]

    def observe(self, metrics: Mapping[str, float]) -> Mapping[str, float]:
        self.kl.update(self.measured["kl"], self.surrogate.rollouts)
        return self.measured

    def state_dict(self) -> dict[str, Any]:
        return {"kl_coef": self.kl.coef}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.kl.coef = state["kl_coef"]


def _mean(values: Sequence[float]) -> float:
    return float(torch.tensor(values, dtype=torch.float64).mean())
