"""The losses of policy gradients.

Dims: B rows, T tokens. `target` marks the completion's tokens; nothing else counts.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heed.losses.term import Term
from heed.ops.kl import k3
from heed.ops.masked import masked_sum


def ppo_clip(
    logprobs: Float[Tensor, "B T"],
    old_logprobs: Float[Tensor, "B T"],
    advantages: Float[Tensor, "B T"],
    target: Bool[Tensor, "B T"],
    *,
    clip: float,
) -> list[Term]:
    """-min(ratio * A, clamp(ratio, 1 - clip, 1 + clip) * A), ratio = policy / old policy.

    Schulman et al. 2017 (arXiv:1707.06347), eq. 7. Beside it, as measurements: "clip_fraction",
    the tokens where the clip bites, and "approx_kl", KL(old policy || policy) by k3.
    """
    # Outside the target the log-probs may be anything: keep them out of exp and of its gradient.
    logprobs = torch.where(target, logprobs, 0.0)
    old_logprobs = torch.where(target, old_logprobs, 0.0)
    ratio = torch.exp(logprobs - old_logprobs)
    free = -advantages * ratio
    clipped = -advantages * ratio.clamp(1 - clip, 1 + clip)
    bites = (clipped > free).to(logprobs.dtype)
    approx_kl = k3(old_logprobs, logprobs.detach())
    return [
        Term("policy_loss", masked_sum(torch.maximum(free, clipped), target), "tokens"),
        Term("clip_fraction", masked_sum(bites, target), "tokens", weight=0.0),
        Term("approx_kl", masked_sum(approx_kl, target), "tokens", weight=0.0),
    ]


def entropy_bonus(entropy: Float[Tensor, "B T"], target: Bool[Tensor, "B T"], coef: float) -> Term:
    """-coef * H, which rewards a policy for staying random; coefficient 0 only measures H."""
    total = masked_sum(entropy, target)
    return Term("entropy", total if coef else total.detach(), "tokens", weight=-coef)
