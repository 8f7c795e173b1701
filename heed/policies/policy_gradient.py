"""Policy gradients for language models: sample, score, weigh, learn.

    maximise  E[ r(x, y) ] - kl_coef * KL(pi || reference)

What turns rewards into advantages is a `Baseline` passed in: PPO's is a learned critic with GAE,
that of RLOO, GRPO and REINFORCE++ is the other answers. Advantages are statistics of a whole round,
taken before it is cut into minibatches: a minibatch need not hold whole groups.

With `ahead` something else draws the rounds, and so with another policy than the one that learns
(an older one, or one that a server computes a little otherwise): what follows (KL, advantages,
ratios) speaks of the latter, and importance weights make up for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from heed.losses.kl import AnswerLogprobs
from heed.losses.policy import entropy_bonus
from heed.losses.term import Term
from heed.models.forward import completion_logprobs
from heed.models.language_model import LanguageModel
from heed.models.packing import packs
from heed.models.reference import Reference
from heed.models.shares import in_shares
from heed.ops.advantages import explained_variance, token_rewards
from heed.ops.batch import Rollout
from heed.ops.order import Order
from heed.policies.ahead import Asked, Rounds
from heed.policies.experience import Experience, experience
from heed.policies.kl_control import KlController
from heed.run import derive_seed
from heed.types import Completion, Prompt, RewardFn, Sampler


@dataclass(frozen=True)
class Advantages:
    """What a baseline makes of a round's rewards; all zero outside the completion."""

    values: Float[Tensor, "B T"]
    advantages: Float[Tensor, "B T"]
    returns: Float[Tensor, "B T"]


class Baseline(Protocol):
    """What is subtracted from the return to lower its variance."""

    @property
    def module(self) -> nn.Module:
        """What trains beside the policy (empty where nothing is learned)."""
        ...

    def advantages(self, seen: Experience, rewards: Float[Tensor, "B T"]) -> Advantages:
        """Of a whole round; the rewards of tokens add up to the score and what KL costs."""
        ...

    def loss(self, batch: Rollout) -> list[Term]: ...


PolicyLoss = Callable[
    [Float[Tensor, "B T"], Float[Tensor, "B T"], Float[Tensor, "B T"], Bool[Tensor, "B T"]],
    list[Term],
]
"""From log-probs, old log-probs, advantages and target to terms: `losses.policy.ppo_clip`."""
KlPenalty = Callable[[AnswerLogprobs, float], Term]
"""From log-probs and the KL coefficient to a term: `losses.kl.kl_penalty`."""


@dataclass(frozen=True)
class Surrogate:
    """How a round of samples is used."""

    rollouts: int
    epochs: int
    minibatches: int
    policy_loss: PolicyLoss
    entropy_coef: float
    missing_eos: float
    temperature: float
    micro_tokens: int
    group: int = 1
    """Samples a prompt; the rows of a group stand together until minibatches are drawn."""
    kl_loss: KlPenalty | None = None
    """KL as a loss; without it KL is a cost in the reward, with rewards to go."""


@dataclass(frozen=True)
class Round:
    """What was drawn last, before learning from it."""

    completions: Sequence[Completion]
    rewards: Sequence[float]
    """What the reward function said of each."""
    kl: Sequence[float]
    """The log-ratio of each to the reference, in nats: the estimator k1, summed over its tokens."""


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
        ahead: Rounds | None = None,
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
        self.ahead = ahead
        self.measured: dict[str, float] = {}
        self.round = Round((), (), ())

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
        seen, weight, behind = self._corrected(seen, iteration)
        rollout = self.weigh(seen)
        self.measured = {**self._measure(completions, seen, rollout), **behind}
        if weight is not None:
            rollout = replace(rollout, advantages=rollout.advantages * weight)
        self.round = Round(completions, seen.proxy.tolist(), seen.kl.sum(1).tolist())
        order = Order(
            len(rollout), len(rollout) // surrogate.minibatches, derive_seed(self.seed, iteration)
        )
        for step in range(surrogate.epochs * surrogate.minibatches):
            yield rollout.rows(order.indices(step).to(rollout.ids.device))

    def _sample(self, iteration: int) -> list[Completion]:
        if self.ahead:
            return self.ahead.draw(iteration, self._asked)
        asked = self._asked(iteration)
        return self.sampler.sample(asked.prompts, n=asked.n, seed=asked.seed)

    def _asked(self, iteration: int) -> Asked:
        group = self.surrogate.group
        order = Order(len(self.prompts), self.surrogate.rollouts // group, self.seed)
        prompts = [self.prompts[i] for i in order.indices(iteration).tolist()]
        return Asked(prompts, group, derive_seed(self.seed, "sample", iteration))

    def _corrected(
        self, seen: Experience, iteration: int
    ) -> tuple[Experience, Tensor | None, Mapping[str, float]]:
        """A round by the policy that learns, with weights if an older one drew it, and measures."""
        return (
            self.ahead.correct(seen, self._logprobs, iteration) if self.ahead else (seen, None, {})
        )

    @torch.no_grad()
    def _logprobs(self, seen: Experience) -> Float[Tensor, "B T"]:
        """The answers' log-probs under the policy as it stands."""
        model, surrogate = self.policy.model, self.surrogate
        return in_shares(
            seen.sequences,
            surrogate.micro_tokens,
            lambda part: completion_logprobs(model, part, temperature=surrogate.temperature)[0],
            packed=packs(model),
        )

    def weigh(self, seen: Experience) -> Rollout:
        """Rewards, less KL unless that is a loss, and the advantages that the baseline sees."""
        target = seen.sequences.target
        cost = 0.0 if self.surrogate.kl_loss else self.kl.coef
        rewards = token_rewards(seen.scores, seen.kl, target, kl_coef=cost)
        weighed = self.baseline.advantages(seen, rewards)
        return Rollout(
            ids=seen.sequences.ids,
            mask=seen.sequences.mask,
            target=target,
            logprobs=seen.logprobs,
            ref_logprobs=seen.ref_logprobs,
            values=weighed.values,
            advantages=weighed.advantages,
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
            **self._flat_groups(seen),
        }

    def _flat_groups(self, seen: Experience) -> dict[str, float]:
        """The share of groups that teach nothing, since all their scores are equal."""
        if self.surrogate.group == 1:
            return {}
        scores = seen.scores.view(-1, self.surrogate.group)
        return {"flat_groups": float((scores.amin(1) == scores.amax(1)).float().mean())}

    def loss(self, batch: Rollout) -> list[Term]:
        surrogate = self.surrogate
        logprobs, entropy = completion_logprobs(
            self.policy.model, batch, temperature=surrogate.temperature
        )
        return [
            *self.objective(logprobs, batch),
            entropy_bonus(entropy, batch.target, surrogate.entropy_coef),
            *self.baseline.loss(batch),
        ]

    def objective(self, logprobs: Float[Tensor, "B T"], batch: Rollout) -> list[Term]:
        """What the policy's log-probs are judged by: advantages, and KL where it is a loss."""
        surrogate = self.surrogate
        terms = list(
            surrogate.policy_loss(logprobs, batch.logprobs, batch.advantages, batch.target)
        )
        if surrogate.kl_loss:
            at = AnswerLogprobs(logprobs, batch.logprobs, batch.ref_logprobs, batch.target)
            terms.append(surrogate.kl_loss(at, self.kl.coef))
        return terms

    def observe(self, metrics: Mapping[str, float]) -> Mapping[str, float]:
        self.kl.update(self.measured["kl"], self.surrogate.rollouts)
        return self.measured

    def state_dict(self) -> dict[str, Any]:
        own = {"kl_coef": self.kl.coef}
        return {**own, "ahead": self.ahead.state_dict()} if self.ahead else own

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.kl.coef = state["kl_coef"]
        if self.ahead:
            self.ahead.load_state_dict(state["ahead"])


def _mean(values: Sequence[float]) -> float:
    return float(torch.tensor(values, dtype=torch.float64).mean())
