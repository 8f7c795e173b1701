"""The loss of unpaired feedback: answers that are desirable or not, each by itself.

Dims: B answers.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heed.losses.reward import accuracy
from heed.losses.term import Term


def kto(
    log_ratio: Float[Tensor, "B"],
    baseline: Float[Tensor, "B"],
    desirable: Bool[Tensor, "B"],
    weight: Float[Tensor, "B"],
    *,
    beta: float,
    desirable_coef: float,
    undesirable_coef: float,
) -> list[Term]:
    """lambda (1 - sigmoid(+-beta (log_ratio - z0))), + and lambda_D where desirable, else - and
    lambda_U; log_ratio = log(policy / reference) of a whole answer.

    Ethayarajh et al. 2024 (arXiv:2402.01306), eq. 7: lambda_y - v(x, y). `baseline` is z0, a
    statistic of the whole batch (`kl_baseline`), the same in every row and without gradient.
    Beside it, as measurements: "accuracy", answers on their side of z0, "baseline", and the mean
    implicit reward of either kind.
    """
    good = desirable.to(log_ratio)
    gain = (2 * good - 1) * beta * (log_ratio - baseline)
    coef = good * desirable_coef + (1 - good) * undesirable_coef
    reward = beta * log_ratio.detach()
    liked, disliked = (torch.where(kind, reward, 0.0).sum() for kind in (desirable, ~desirable))
    return [
        Term("kto", (weight * coef * torch.sigmoid(-gain)).sum(), "weight"),
        Term("accuracy", accuracy(gain.detach()).sum(), "rows", weight=0.0),
        Term("baseline", baseline.sum(), "rows", weight=0.0),
        Term("desirable_reward", liked, "desirable", weight=0.0),
        Term("undesirable_reward", disliked, "undesirable", weight=0.0),
    ]


def kl_baseline(log_ratio: Float[Tensor, "B"], weight: Float[Tensor, "B"]) -> Float[Tensor, ""]:
    """z0 = max(0, mean log(policy / reference)) over answers that belong to other prompts.

    KTO, section 4.2: an estimate, biased and cheap, of KL(policy || reference).
    """
    return ((weight * log_ratio).sum() / weight.sum()).clamp(min=0.0)
