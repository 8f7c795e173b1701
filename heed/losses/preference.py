"""Losses that learn a policy from preferences directly.

Dims: B pairs. A preference loss maps a pair's log-probs and beta to one loss a pair; a new one is a
function and a line in `PREFERENCE_LOSSES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from heed.losses.reward import accuracy
from heed.losses.term import Term


@dataclass(frozen=True)
class PairLogprobs:
    """What a preference loss may look at.

    Log-probs, in nats, are summed over a completion's tokens, under the policy and under the
    reference (`ref_*`); `*_tokens` count those tokens; `margin` says how far apart the answers are.
    """

    chosen: Float[Tensor, "B"]
    rejected: Float[Tensor, "B"]
    ref_chosen: Float[Tensor, "B"]
    ref_rejected: Float[Tensor, "B"]
    chosen_tokens: Float[Tensor, "B"]
    rejected_tokens: Float[Tensor, "B"]
    margin: Float[Tensor, "B"]

    def implicit_rewards(self, beta: float) -> tuple[Float[Tensor, "B"], Float[Tensor, "B"]]:
        """Of chosen and rejected: beta log(policy / reference), DPO's eq. 5 without log Z."""
        return beta * (self.chosen - self.ref_chosen), beta * (self.rejected - self.ref_rejected)


PreferenceLoss = Callable[[PairLogprobs, float], Float[Tensor, "B"]]


def dpo(logprobs: PairLogprobs, beta: float) -> Float[Tensor, "B"]:
    """-log sigmoid(reward_chosen - reward_rejected), with DPO's implicit rewards.

    Rafailov et al. 2023 (arXiv:2305.18290), eq. 7.
    """
    chosen, rejected = logprobs.implicit_rewards(beta)
    return -logsigmoid(chosen - rejected)


PREFERENCE_LOSSES: dict[str, PreferenceLoss] = {"dpo": dpo}


def preference_terms(
    losses: Float[Tensor, "B"],
    logprobs: PairLogprobs,
    weight: Float[Tensor, "B"],
    beta: float,
) -> list[Term]:
    """The objective, and what it did to the implicit rewards of the pairs, as measurements."""
    chosen, rejected = (reward.detach() for reward in logprobs.implicit_rewards(beta))
    return [
        Term("preference", (weight * losses).sum(), "weight"),
        Term("accuracy", accuracy(chosen - rejected).sum(), "rows", weight=0.0),
        Term("reward_margin", (chosen - rejected).sum(), "rows", weight=0.0),
        Term("chosen_reward", chosen.sum(), "rows", weight=0.0),
        Term("rejected_reward", rejected.sum(), "rows", weight=0.0),
    ]
