"""Does one step of a training go where it should: towards better answers, and back on its leash?

A flipped sign of the reward trains fluent, maximally bad text; one of the KL term lets go of all
that was learned before (Ziegler et al. 2019, arXiv:1909.08593, section 4.4, had both in one bug).
Nothing fails, and all curves rise. Both gates put a number to each comparison, or to each prompt:
what its part of the update does for what is wanted. They trip where the mean surely lies below 0.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from scipy import stats

from heed.gates.finding import Finding
from heed.stats.intervals import standard_error

FEWEST = 20
"""Prompts from which on it is asked at all."""


def step(
    gains: Sequence[float], prompts: Sequence[Hashable], *, false_alarms: float
) -> Finding | None:
    """Whether the method's own update makes the answers that people rejected likelier.

    Args:
        gains: of each comparison, how far its part of minus the gradient raises log p(chosen) -
            log p(rejected) of all comparisons (heed/stages/step_checks.py), in units of its own.
        prompts: what each comparison is about; those of one prompt are one piece of evidence.
        false_alarms: how often a reward trips that knows nothing of what people prefer.

    Returns:
        None where fewer than `FEWEST` prompts have comparisons.
    """
    found = _backward(gains, prompts, false_alarms)
    if found is None:
        return None
    t, threshold, share, tripped = found
    says = (
        f"The update raises the likelihood of better answers over worse ones by its part from "
        f"{share:.1%} of {len(gains):,} held-out comparisons."
    )
    if tripped:
        says += (
            " On the whole it lowers it: the policy would learn what people rejected. See whether "
            "the reward has its sign, and whether chosen and rejected stand the right way round."
        )
    return Finding("step", t, threshold, false_alarms, tripped, says)


def leash(
    pulls: Sequence[float], prompts: Sequence[Hashable], *, false_alarms: float
) -> Finding | None:
    """Whether the KL term pushes a policy that has moved further from its reference.

    Args:
        pulls: of each prompt, how far its part of minus the KL term's gradient leads back, in units
            of its own.
        prompts: which prompt each is of.
        false_alarms: how often a term trips that leads nowhere.

    Returns:
        None where fewer than `FEWEST` prompts were answered.
    """
    found = _backward(pulls, prompts, false_alarms)
    if found is None:
        return None
    t, threshold, share, tripped = found
    says = (
        f"Of a policy that has moved from its reference, the KL term leads back by its part from "
        f"{share:.1%} of {len(pulls):,} prompts."
    )
    if tripped:
        says += (
            " On the whole it pushes away: the further the policy is, the more it is rewarded for "
            "it. See whether the KL coefficient, or the KL itself, has its sign."
        )
    return Finding("leash", t, threshold, false_alarms, tripped, says)


def _backward(
    parts: Sequence[float], prompts: Sequence[Hashable], false_alarms: float
) -> tuple[float, float, float, bool] | None:
    """t of a mean below 0, its threshold, the share above 0, and whether it trips; nan trips."""
    if len(set(prompts)) < FEWEST:
        return None
    y = np.asarray(parts, dtype=np.float64)
    error, dof = standard_error(y, prompts)
    mean = float(y.mean())
    t = -mean / error if error != 0 else math.copysign(math.inf, -mean) if mean else 0.0
    threshold = float(stats.t.isf(false_alarms, dof))
    return t, threshold, float((y > 0).mean()), not t < threshold
