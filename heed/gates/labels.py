"""Do labels follow the side an answer stood on, or its length, more than they may?

    t = (|s - 1/2| - margin) / se(s),   s the share of choices that went that way

People always have a little of both, and longer answers are often better, so the question is not
whether s is 1/2 but whether it lies beyond a margin that matters. Errors are cluster-robust, by
prompt; within the margin the gate trips in at most `false_alarms` of stages.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from scipy import stats

from heed.gates.finding import Finding
from heed.stats.intervals import standard_error

FEWEST = 10
"""Prompts from which on chance alone hardly sends them all one way."""
Choices = Sequence[float]
"""1 for a choice that went that way, 0 for one that went the other."""


def sides(
    left: Choices, prompts: Sequence[Hashable], *, margin: float, false_alarms: float
) -> Finding | None:
    """Whether the answer shown on the left is chosen too often, or too seldom."""
    return _beyond(
        "sides", left, prompts, margin, false_alarms,
        "went to the answer on the left",
        "Somebody clicks without reading: look at the annotators one by one, and see that sides "
        "are random.",
    )  # fmt: skip


def lengths(
    longer: Choices, prompts: Sequence[Hashable], *, margin: float, false_alarms: float
) -> Finding | None:
    """Whether the longer answer is chosen too often, or the shorter one."""
    return _beyond(
        "lengths", longer, prompts, margin, false_alarms,
        "went to the longer of two answers",
        "A reward model will learn length before anything else: say in the guideline what length "
        "is worth, compare answers of like length, and watch the length of what is trained.",
    )  # fmt: skip


def _beyond(
    gate: str, choices: Choices, prompts: Sequence[Hashable], margin: float, false_alarms: float,
    what: str, advice: str,
) -> Finding | None:  # fmt: skip
    y = np.asarray(choices, dtype=np.float64)
    if len(set(prompts)) < FEWEST:
        return None
    error, dof = standard_error(y, prompts)
    share = float(y.mean())
    apart = abs(share - 0.5) - margin
    t = apart / error if error > 0 else math.copysign(math.inf, apart)
    threshold = float(stats.t.isf(false_alarms, dof))
    tripped = t >= threshold
    says = (
        f"{share:.1%} of {len(y):,} choices {what}; {0.5 - margin:.0%} to {0.5 + margin:.0%} is "
        "nothing to worry about."
    )
    return Finding(
        gate, t, threshold, false_alarms, tripped, f"{says} {advice}" if tripped else says
    )
