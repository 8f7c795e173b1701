"""RLOO: REINFORCE, each answer against the mean of the others to its prompt.

    A[i] = r_i - 1 / (G - 1) * sum over j != i of r_j

Ahmadian et al. 2024 (arXiv:2402.14740). The baseline does not depend on the answer, so the gradient
is unbiased, that of KL in the reward included.
"""

from __future__ import annotations

from heed.ops.advantages import leave_one_out
from heed.policies.others import Others


def rloo(group: int) -> Others:
    """The baseline for groups of at least two."""
    return Others(group, leave_one_out)
