"""Losses that learn a policy from preferences directly.

Dims: B pairs. A preference loss maps a pair's log-probs and beta to one loss a pair; a new one is a
function and a line in `PREFERENCE_LOSSES`. What else it takes is a keyword of its own, which
heed/recipe/preference.py names too, with its default.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
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

    def gap(self, beta: float) -> Float[Tensor, "B"]:
        """By how much the chosen answer's implicit reward is the larger one."""
        chosen, rejected = self.implicit_rewards(beta)
        return chosen - rejected

    def per_token(self) -> PairLogprobs:
        """The same with means over a completion's tokens in place of sums."""
        return PairLogprobs(
            chosen=self.chosen / self.chosen_tokens,
            rejected=self.rejected / self.rejected_tokens,
            ref_chosen=self.ref_chosen / self.chosen_tokens,
            ref_rejected=self.ref_rejected / self.rejected_tokens,
            chosen_tokens=torch.ones_like(self.chosen_tokens),
            rejected_tokens=torch.ones_like(self.rejected_tokens),
            margin=self.margin,
        )


PreferenceLoss = Callable[[PairLogprobs, float], Float[Tensor, "B"]]


def dpo(logprobs: PairLogprobs, beta: float) -> Float[Tensor, "B"]:
    """-log sigmoid(reward_chosen - reward_rejected), with DPO's implicit rewards.

    Rafailov et al. 2023 (arXiv:2305.18290), eq. 7.
    """
    return -logsigmoid(logprobs.gap(beta))


def dpo_norm(logprobs: PairLogprobs, beta: float) -> Float[Tensor, "B"]:
    """DPO with every log-ratio over its answer's number of tokens, so that length earns nothing.

    Lambert et al. 2024 (Tulu 3, arXiv:2411.15124), section 5; TRL's `sigmoid_norm`.
    """
    return dpo(logprobs.per_token(), beta)


def cdpo(logprobs: PairLogprobs, beta: float, *, smoothing: float) -> Float[Tensor, "B"]:
    """-(1 - eps) log sigmoid(gap) - eps log sigmoid(-gap): a share eps of the labels is wrong.

    Conservative DPO (Mitchell 2023, "A note on DPO with noisy preferences & relationship to IPO").
    The gap stops growing where sigmoid(gap) = 1 - eps.
    """
    gap = logprobs.gap(beta)
    return -(1 - smoothing) * logsigmoid(gap) - smoothing * logsigmoid(-gap)


def robust(logprobs: PairLogprobs, beta: float, *, smoothing: float) -> Float[Tensor, "B"]:
    """(-(1 - eps) log sigmoid(gap) + eps log sigmoid(-gap)) / (1 - 2 eps).

    Robust DPO (Ray Chowdhury et al. 2024, arXiv:2403.00409): where labels are flipped with
    probability eps, its expectation is DPO's loss on the true ones.
    """
    gap = logprobs.gap(beta)
    debiased = -(1 - smoothing) * logsigmoid(gap) + smoothing * logsigmoid(-gap)
    return debiased / (1 - 2 * smoothing)


def odpo(logprobs: PairLogprobs, beta: float, *, offset: float) -> Float[Tensor, "B"]:
    """-log sigmoid(gap - offset * margin): a clear preference asks for a wider gap.

    DPO with an offset (Amini et al. 2024, arXiv:2402.10571); the margin is the grade's.
    """
    return -logsigmoid(logprobs.gap(beta) - offset * logprobs.margin)


def ipo(logprobs: PairLogprobs, beta: float) -> Float[Tensor, "B"]:
    """(h - 1 / (2 beta))^2, with h the difference of the log-ratios of whole answers.

    Azar et al. 2023 (arXiv:2310.12036), eq. 17, whose tau is beta. A regression: a pair that is
    far enough apart is pulled together again.
    """
    return (logprobs.gap(1.0) - 1 / (2 * beta)).square()


def ipo_norm(logprobs: PairLogprobs, beta: float) -> Float[Tensor, "B"]:
    """IPO on log-ratios a token: TRL's `ipo`, which its authors say is what they ran."""
    return ipo(logprobs.per_token(), beta)


def hinge(logprobs: PairLogprobs, beta: float) -> Float[Tensor, "B"]:
    """max(0, 1 - gap): a pair with a gap of 1 has nothing more to learn.

    SLiC's loss on DPO's implicit rewards (Liu et al. 2023, RSO, arXiv:2309.06657).
    """
    return torch.relu(1 - logprobs.gap(beta))


def slic(logprobs: PairLogprobs, beta: float) -> Float[Tensor, "B"]:
    """max(0, 1 - beta (log p(chosen) - log p(rejected))), without a reference.

    SLiC-HF (Zhao et al. 2023, arXiv:2305.10425) with delta = 1 / beta, times beta; its
    second term is the cross-entropy of `sft_coef`.
    """
    return torch.relu(1 - beta * (logprobs.chosen - logprobs.rejected))


def cpo(logprobs: PairLogprobs, beta: float) -> Float[Tensor, "B"]:
    """-log sigmoid(beta (log p(chosen) - log p(rejected))), without a reference.

    Xu et al. 2024 (arXiv:2401.08417), eq. 3; its second term is the cross-entropy of `sft_coef`.
    """
    return -logsigmoid(beta * (logprobs.chosen - logprobs.rejected))


def simpo(logprobs: PairLogprobs, beta: float, *, gamma: float) -> Float[Tensor, "B"]:
    """-log sigmoid(beta (mean log p(chosen) - mean log p(rejected)) - gamma), without a reference.

    Meng et al. 2024 (arXiv:2405.14734), eq. 6; the means are over an answer's tokens.
    """
    mean = logprobs.per_token()
    return -logsigmoid(beta * (mean.chosen - mean.rejected) - gamma)


def orpo(logprobs: PairLogprobs, beta: float) -> Float[Tensor, "B"]:
    """-beta log sigmoid(log odds(chosen) - log odds(rejected)), odds(P) = P / (1 - P).

    Hong et al. 2024 (arXiv:2403.07691), eq. 7 times the lambda of eq. 6; P is the geometric mean of
    an answer's token probabilities. The other half of eq. 6 is the cross-entropy of `sft_coef`,
    over its own denominator: the chosen answers' tokens.
    """
    mean = logprobs.per_token()
    return -beta * logsigmoid(_log_odds(mean.chosen) - _log_odds(mean.rejected))


def _log_odds(logprob: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    """log(p / (1 - p)); a probability that rounds to 1 stays just below it."""
    below = logprob.clamp(max=-torch.finfo(logprob.dtype).eps)
    return below - torch.log(-torch.expm1(below))


PREFERENCE_LOSSES: dict[str, Callable[..., Float[Tensor, "B"]]] = {
    "dpo": dpo,
    "dpo_norm": dpo_norm,
    "cdpo": cdpo,
    "robust": robust,
    "odpo": odpo,
    "ipo": ipo,
    "ipo_norm": ipo_norm,
    "hinge": hinge,
    "slic": slic,
    "cpo": cpo,
    "simpo": simpo,
    "orpo": orpo,
}


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
