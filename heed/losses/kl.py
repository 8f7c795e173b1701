"""KL(policy || reference) as a loss, for who does not put it into the reward.

Dims: B rows, T tokens. Each loss gives values of tokens that add up to its row's, so that it is
aggregated as the policy's loss is and its coefficient stays in units of reward. Whether a gradient
is KL's is another matter than whether a number is: tests/losses/test_kl_gradient.py enumerates it.
k1 is missing on purpose: as a loss its gradient is 0 in expectation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heed.losses.policy import Aggregate
from heed.losses.term import Term
from heed.ops import kl


@dataclass(frozen=True)
class AnswerLogprobs:
    """What a KL loss may look at: log-probs of tokens, in nats, meaningful inside `target`."""

    policy: Float[Tensor, "B T"]
    old: Float[Tensor, "B T"]
    """Under the policy that sampled the answers."""
    reference: Float[Tensor, "B T"]
    target: Bool[Tensor, "B T"]

    def inside(self, logprobs: Float[Tensor, "B T"]) -> Float[Tensor, "B T"]:
        """Log-probs with 0 outside the target, where they may be anything."""
        return torch.where(self.target, logprobs, 0.0)

    def summed(self, logprobs: Float[Tensor, "B T"]) -> Float[Tensor, "B"]:
        """Log-probs of whole answers."""
        return self.inside(logprobs).sum(1)

    def spread(self, x: Float[Tensor, "B"]) -> Float[Tensor, "B T"]:
        """A value of an answer, in equal parts on its tokens."""
        return (x / self.target.sum(1).clamp(min=1))[:, None] * self.target


KlLoss = Callable[[AnswerLogprobs], Float[Tensor, "B T"]]


def k2_sequence(at: AnswerLogprobs) -> Float[Tensor, "B T"]:
    """1/2 (log policy(y) / reference(y))^2 of whole answers.

    On policy its gradient is that of the sequence KL, exactly: E[log(pi / ref) grad log pi].
    """
    return at.spread(kl.k2(at.summed(at.policy), at.summed(at.reference)))


def k3_sequence(at: AnswerLogprobs) -> Float[Tensor, "B T"]:
    """w k3 of whole answers, w = policy(y) / old policy(y): the importance weight, which carries
    gradient.

    Its expectation over the old policy's answers is the sequence KL wherever the policy has moved
    to, and so is its gradient; the price is the variance of w.
    """
    policy = at.summed(at.policy)
    weight = torch.exp(policy - at.summed(at.old))
    return at.spread(weight * kl.k3(policy, at.summed(at.reference)))


def k2_token(at: AnswerLogprobs) -> Float[Tensor, "B T"]:
    """1/2 (log policy / reference)^2 of tokens: misses what a token does to the KL of later ones
    (REINFORCE++-baseline's, arXiv:2501.03262).
    """
    return kl.k2(at.inside(at.policy), at.inside(at.reference))


def k3_token(at: AnswerLogprobs) -> Float[Tensor, "B T"]:
    """reference / policy - log(reference / policy) - 1 of tokens: GRPO's (arXiv:2402.03300, eq. 4),
    which misses what a token does to the KL of later ones, and is not KL's gradient at a token.
    """
    return kl.k3(at.inside(at.policy), at.inside(at.reference))


KL_LOSSES: Mapping[str, KlLoss] = {
    "k2_sequence": k2_sequence,
    "k3_sequence": k3_sequence,
    "k2": k2_token,
    "k3": k3_token,
}


def kl_penalty(at: AnswerLogprobs, coef: float, *, estimate: KlLoss, aggregate: Aggregate) -> Term:
    """coef * KL(policy || reference), aggregated as the policy's loss."""
    return Term("kl_loss", *aggregate(estimate(at), at.target), weight=coef)
