"""The correction for answers that an older policy drew.

    E over policy [f] = E over behaviour [w f],   w = policy / behaviour

Three policies are told apart (Hilton, Cobbe & Schulman 2021, arXiv:2110.00641; for language models
Fu et al. 2025, AReaL, arXiv:2505.24298): the behaviour policy drew, the proximal one is the policy
as it stood when the round's learning began, and the one that learns is kept near the proximal one
by the clip:

    E over behaviour [ w * min(ratio * A, clip(ratio) * A) ],
    w = proximal / behaviour,   ratio = policy / proximal

w is a number without gradient and never negative, so that weighing the advantages by it is weighing
the loss. It is cut from above (Espeholt et al. 2018, IMPALA, arXiv:1802.01561, section 4.1), which
bounds the variance at the price of a bias where the policies are far apart.

Dims: B rows, T tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heed.losses.policy import LogRatio, token_log_ratio
from heed.ops.kl import k3
from heed.ops.masked import masked_mean


@dataclass(frozen=True)
class Importance:
    """What stands between the policy that drew and the one that is about to learn."""

    weight: Float[Tensor, "B T"]
    """min(proximal / behaviour, cap) at every token, 1 outside the target."""
    mean: float
    """The weight's mean over tokens."""
    capped: float
    """The share of tokens whose weight was cut."""
    kl: float
    """KL(behaviour || proximal), nats a token, by k3."""


@torch.no_grad()
def importance(
    proximal: Float[Tensor, "B T"],
    behaviour: Float[Tensor, "B T"],
    target: Bool[Tensor, "B T"],
    *,
    cap: float,
    log_ratio: LogRatio = token_log_ratio,
) -> Importance:
    """Weights of tokens from the log-probs of two policies; where these are equal all are 1.

    With `sequence_log_ratio` an answer's tokens share one weight, as they share GSPO's ratio.
    """
    proximal = torch.where(target, proximal, 0.0)
    behaviour = torch.where(target, behaviour, 0.0)
    free = torch.exp(log_ratio(proximal, behaviour, target))
    weight = free.clamp(max=cap)
    return Importance(
        weight=weight,
        mean=float(masked_mean(weight, target)),
        capped=float(masked_mean((free > cap).to(free.dtype), target)),
        kl=float(masked_mean(k3(behaviour, proximal), target)),
    )
