"""The losses of reward models.

Dims: B pairs.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from heed.losses.term import Term


def bradley_terry(
    chosen: Float[Tensor, "B"],
    rejected: Float[Tensor, "B"],
    margin: Float[Tensor, "B"],
    weight: Float[Tensor, "B"],
) -> list[Term]:
    """-log sigmoid(r_chosen - r_rejected - margin), each pair times its weight.

    Bradley & Terry 1952; the margin is Llama 2's (arXiv:2307.09288, eq. 2). Beside it, as
    measurements: "accuracy" (a tie counts half) and "gap", the difference of the scores.
    """
    gap = chosen - rejected
    loss = -logsigmoid(gap - margin)
    return [
        Term("bradley_terry", (weight * loss).sum(), "weight"),
        Term("accuracy", accuracy(gap.detach()).sum(), "rows", weight=0.0),
        Term("gap", gap.detach().sum(), "rows", weight=0.0),
    ]


def centring(
    chosen: Float[Tensor, "B"],
    rejected: Float[Tensor, "B"],
    weight: Float[Tensor, "B"],
    coef: float,
) -> Term:
    """coef * (r_chosen + r_rejected)^2, which holds the scores near 0: Bradley-Terry sees but gaps.

    Eisenstein et al. 2023 (arXiv:2312.09244), section 2. Each pair times its weight.
    """
    return Term("centring", (weight * (chosen + rejected).square()).sum(), "weight", weight=coef)


def accuracy(gap: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    """1 where the chosen answer scores higher, 0 where lower, 1/2 where both score the same."""
    return (torch.sign(gap) + 1) / 2
