"""GRPO: an answer's place among the others to its prompt, in standard deviations.

    A[i] = (r_i - mean(r)) / (std(r) + eps)          Shao et al. 2024 (arXiv:2402.03300)
    A[i] = r_i - mean(r)                             Dr. GRPO, Liu et al. 2025 (arXiv:2503.20783)

Dividing by the spread weighs prompts that are nearly always or nearly never solved as much as those
in between; Dr. GRPO does not, and averages over a constant in place of an answer's length.
GSPO (Zheng et al. 2025, arXiv:2507.18071) is GRPO with the ratio of sequences.
"""

from __future__ import annotations

from heed.ops.advantages import group_centred, group_standardised
from heed.policies.others import Others


def grpo(group: int, *, std: bool) -> Others:
    """The baseline for groups of at least two; `std` divides by the group's spread."""
    return Others(group, group_standardised if std else group_centred)
