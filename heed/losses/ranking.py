"""The loss of reward models on whole rankings.

Dims: B rankings, K answers.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from heed.losses.term import Term


def plackett_luce(
    scores: Float[Tensor, "B K"], ranks: Int[Tensor, "B K"], weight: Float[Tensor, "B"]
) -> list[Term]:
    """-sum_i log( exp r_i / (exp r_i + sum of exp r_j over all j ranked below i) ), times weight.

    Luce 1959, Plackett 1975: the best is chosen from all, the next from the rest, and so on; with
    two answers it is Bradley-Terry. Rank 1 is the best, 0 no answer at all. Answers that tie are
    not compared with each other: neither stands among those ranked below the other. Beside it, as
    measurements: "accuracy" (the share of a ranking's unlike pairs that the scores put in its
    order; a tie of scores counts half, a ranking of ties alone counts as half right) and "gap",
    the mean difference of their scores.
    """
    present = ranks > 0
    below = (ranks[:, None, :] > ranks[:, :, None]) & present[:, :, None]  # [b, i, j]: j below i
    own = torch.eye(ranks.shape[1], dtype=torch.bool, device=ranks.device)
    rivals = torch.where(below | own, scores[:, None, :], -torch.inf)
    loss = (rivals.logsumexp(2) - scores).masked_fill(~present, 0.0).sum(1)
    gap = (scores[:, :, None] - scores[:, None, :]).detach()
    pairs = below.sum((1, 2)).clamp(min=1)
    right = torch.where(below, (torch.sign(gap) + 1) / 2, 0.0).sum((1, 2)) / pairs
    right = torch.where(below.any(2).any(1), right, 0.5)
    gaps = torch.where(below, gap, 0.0).sum((1, 2)) / pairs
    return [
        Term("plackett_luce", (weight * loss).sum(), "weight"),
        Term("accuracy", right.sum(), "rows", weight=0.0),
        Term("gap", gaps.sum(), "rows", weight=0.0),
    ]
