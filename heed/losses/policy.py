"""The losses of policy gradients.

Dims: B rows, T tokens. `target` marks the completion's tokens; nothing else counts. A loss is made
of a ratio (what is clipped) and an aggregation (what is averaged over), both functions passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heed.losses.term import Term
from heed.ops.kl import k3
from heed.ops.masked import masked_sum

LogRatio = Callable[
    [Float[Tensor, "B T"], Float[Tensor, "B T"], Bool[Tensor, "B T"]], Float[Tensor, "B T"]
]
Aggregate = Callable[[Float[Tensor, "B T"], Bool[Tensor, "B T"]], tuple[Float[Tensor, ""], str]]
"""From a loss a token to a sum and the name of what it counts."""


def token_log_ratio(
    logprobs: Float[Tensor, "B T"],
    old_logprobs: Float[Tensor, "B T"],
    target: Bool[Tensor, "B T"],
) -> Float[Tensor, "B T"]:
    """log(policy / old policy) of each token: PPO's, GRPO's."""
    return torch.where(target, logprobs - old_logprobs, 0.0)


def sequence_log_ratio(
    logprobs: Float[Tensor, "B T"],
    old_logprobs: Float[Tensor, "B T"],
    target: Bool[Tensor, "B T"],
) -> Float[Tensor, "B T"]:
    """GSPO's 1/|y| log(policy(y) / old policy(y)), at each token of y, so that an answer is
    clipped as a whole.

    Zheng et al. 2025 (arXiv:2507.18071), in the form that the paper calls GSPO-token: each token
    keeps its own gradient, so that advantages may differ within an answer; where they do not,
    and `over_sequences` aggregates, this is GSPO, value and gradient.
    """
    log_ratio = token_log_ratio(logprobs, old_logprobs, target)
    mean = log_ratio.detach().sum(1, keepdim=True) / target.sum(1, keepdim=True).clamp(min=1)
    return torch.where(target, mean + log_ratio - log_ratio.detach(), 0.0)


LOG_RATIOS: Mapping[str, LogRatio] = {"token": token_log_ratio, "sequence": sequence_log_ratio}


def over_tokens(
    x: Float[Tensor, "B T"], target: Bool[Tensor, "B T"]
) -> tuple[Float[Tensor, ""], str]:
    """Every token counts alike (PPO; DAPO, arXiv:2503.14476): long answers weigh more."""
    return masked_sum(x, target), "tokens"


def over_sequences(
    x: Float[Tensor, "B T"], target: Bool[Tensor, "B T"]
) -> tuple[Float[Tensor, ""], str]:
    """Every answer counts alike, its tokens averaged first (GRPO, arXiv:2402.03300, eq. 3): a
    token of a long answer weighs less.
    """
    return masked_sum(x / target.sum(1, keepdim=True).clamp(min=1), target), "rows"


def over_constant(
    x: Float[Tensor, "B T"], target: Bool[Tensor, "B T"], *, length: int
) -> tuple[Float[Tensor, ""], str]:
    """Sums of answers over one constant, the tokens an answer may have (Dr. GRPO,
    arXiv:2503.20783): no length is favoured, and the gradient is that of the expected reward.
    """
    return masked_sum(x / length, target), "rows"


def aggregations(longest: int) -> Mapping[str, Aggregate]:
    """The aggregations by name, for answers of at most `longest` tokens."""
    return {
        "token": over_tokens,
        "sequence": over_sequences,
        "constant": partial(over_constant, length=longest),
    }


def ppo_clip(
    logprobs: Float[Tensor, "B T"],
    old_logprobs: Float[Tensor, "B T"],
    advantages: Float[Tensor, "B T"],
    target: Bool[Tensor, "B T"],
    *,
    clip_low: float,
    clip_high: float,
    log_ratio: LogRatio = token_log_ratio,
    aggregate: Aggregate = over_tokens,
) -> list[Term]:
    """-min(ratio * A, clamp(ratio, 1 - clip_low, 1 + clip_high) * A), ratio = policy / old policy.

    Schulman et al. 2017 (arXiv:1707.06347), eq. 7; a `clip_high` above `clip_low` is DAPO's
    clip-higher (Yu et al. 2025, arXiv:2503.14476), which lets unlikely tokens rise further. Beside
    it, as measurements: "clip_fraction", the tokens where the clip bites, and "approx_kl",
    KL(old policy || policy) by k3 of tokens.
    """
    # Outside the target the log-probs may be anything: keep them out of exp and of its gradient.
    logprobs = torch.where(target, logprobs, 0.0)
    old_logprobs = torch.where(target, old_logprobs, 0.0)
    ratio = torch.exp(log_ratio(logprobs, old_logprobs, target))
    free = -advantages * ratio
    clipped = -advantages * ratio.clamp(1 - clip_low, 1 + clip_high)
    bites = (clipped > free).to(logprobs.dtype)
    approx_kl = k3(old_logprobs, logprobs.detach())
    return [
        Term("policy_loss", *aggregate(torch.maximum(free, clipped), target)),
        Term("clip_fraction", masked_sum(bites, target), "tokens", weight=0.0),
        Term("approx_kl", masked_sum(approx_kl, target), "tokens", weight=0.0),
    ]


def entropy_bonus(entropy: Float[Tensor, "B T"], target: Bool[Tensor, "B T"], coef: float) -> Term:
    """-coef * H, which rewards a policy for staying random; coefficient 0 only measures H."""
    total = masked_sum(entropy, target)
    return Term("entropy", total if coef else total.detach(), "tokens", weight=-coef)
