"""The stop rule: a reward that nothing is trained on falls while the one that is trained on rises.

A reward model that is optimised against stops agreeing with what it stands for (Gao et al. 2023,
arXiv:2210.10760); another one, not optimised, shows it. At every look the policy answers the same
held-out prompts, and both rewards score the answers. Looks i < j are compared prompt by prompt:

    t_ij = (mean(h_i - h_j) - margin) / se,   for those i at which the proxy was no higher than at j

Under a policy whose held-out reward has not fallen by more than the margin between any two looks,
a t_ij lies beyond its threshold in at most `false_alarms` of runs, since the threshold is shared
out among all pairs of looks (Bonferroni), whatever ties the looks to each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from heed.gates.finding import Finding


@dataclass(frozen=True, slots=True)
class Look:
    """What both rewards said of one answer to every held-out prompt."""

    step: int
    heldout: Sequence[float]
    proxy: Sequence[float]


def looks_of(iterations: int, every: int) -> list[int]:
    """When it is looked: after the first iteration, every so many, and after the last."""
    return sorted({1, iterations, *range(every, iterations + 1, every)})


def fallen(looks: Sequence[Look], fall: float) -> float:
    """How surely the held-out reward fell to the last look, from the look that shows it best.

    Args:
        looks: all so far.
        fall: the margin, in standard deviations of the held-out scores at the first look.

    Returns:
        The greatest t_ij, as the normal deviate of the same probability: 0 where no earlier look
        has a proxy as low.
    """
    last = looks[-1]
    margin = fall * float(np.std(looks[0].heldout))
    found = [
        _deviate(np.subtract(look.heldout, last.heldout), margin)
        for look in looks[:-1]
        if np.mean(look.proxy) <= np.mean(last.proxy)
    ]
    return max([0.0, *found])


def overoptimisation(
    statistic: float, *, heldout: float, best: float, looks: int, false_alarms: float
) -> Finding:
    """Whether it fell, by `fallen` and a count of all the looks that there will be."""
    threshold = float(stats.norm.isf(false_alarms / max(1, math.comb(looks, 2))))
    tripped = statistic >= threshold
    says = (
        f"On held-out prompts, the reward that nothing is trained on is {heldout:.3f} and was "
        f"{best:.3f} at its best."
    )
    if tripped:
        says += (
            " It has fallen while the reward that is trained on has risen: the policy has learned "
            "to please its reward model. Collect comparisons of its answers, or raise kl.coef."
        )
    return Finding("overoptimisation", statistic, threshold, false_alarms, tripped, says)


def _deviate(falls: np.ndarray, margin: float) -> float:
    """One-sided paired t of a mean fall beyond a margin, as a normal deviate."""
    beyond, spread = float(falls.mean()) - margin, float(falls.std(ddof=1))
    if spread == 0.0:
        return math.inf if beyond > 0.0 else 0.0
    t = beyond / (spread / math.sqrt(len(falls)))
    return float(-stats.norm.ppf(stats.t.sf(t, len(falls) - 1))) if t > 0.0 else 0.0
