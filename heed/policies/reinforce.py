"""REINFORCE++: the round is the baseline.

    A[i, t] = (B[i, t] - mean(B)) / std(B), over all tokens of the round
    B[i, t] = r_i + C[i, t]                              groups of one
    B[i, t] = r_i - mean(r of its group) + C[i, t] ...   REINFORCE++-baseline

Hu et al. 2025 (arXiv:2501.03262); C is what KL still costs (see `heed.policies.others`). A mean and
a spread of hundreds of answers depend little on any of them, unlike those of a group.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from heed.ops.advantages import group_centred
from heed.policies.others import Others


def reinforce(group: int) -> Others:
    """The baseline for groups of any size."""
    return Others(group, _alone if group == 1 else group_centred, whitened=True)


def _alone(scores: Float[Tensor, "P 1"]) -> Float[Tensor, "P 1"]:
    return scores
