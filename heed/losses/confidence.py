"""The auxiliary loss of weak-to-strong learning, for pairs.

Dims: B pairs.
"""

from __future__ import annotations

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from heed.losses.reward import bradley_terry
from heed.losses.term import Term


def confidence(
    chosen: Float[Tensor, "B"],
    rejected: Float[Tensor, "B"],
    margin: Float[Tensor, "B"],
    weight: Float[Tensor, "B"],
    *,
    alpha: float,
) -> list[Term]:
    """(1 - alpha) CE(f, weak label) + alpha CE(f, [f > t]), f = sigmoid(r_chosen - r_rejected).

    Burns et al. 2023 (arXiv:2312.09390), eq. 1: the second target is the model's own verdict,
    without gradient. t is where half of the examples lie above it; a pair read in both orders is f
    and 1 - f, so for pairs t = 1/2 whatever the model says, and that term is -log sigmoid(|gap|).
    A soft label p is a pair in both orders, of weights p and 1 - p. Beside `bradley_terry`'s
    measurements: "agreement", the share of the weight on the model's side.
    """
    labelled, *seen = bradley_terry(chosen, rejected, margin, weight)
    gap = chosen - rejected
    own = -(weight * logsigmoid(gap.abs())).sum()
    sides = (gap.detach().sign() + 1) / 2
    return [
        replace(labelled, weight=1 - alpha),
        Term("confidence", own, "weight", weight=alpha),
        Term("agreement", (weight * sides).sum(), "weight", weight=0.0),
        *seen,
    ]
