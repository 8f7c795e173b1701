"""Does a reward prefer what people preferred? A flipped sign trains fluent, maximally bad text.

    z = (1/2 - a) / se(a),   a the share of held-out pairs whose chosen answer scores higher

with the cluster-robust error of heed/stats/intervals.py, by prompt; a tie is half a pair. A reward
that knows nothing (a = 1/2) trips in a share `false_alarms`, one that knows anything more seldom.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from scipy import stats

from heed.gates.finding import Finding
from heed.stats.intervals import standard_error

FEWEST = 30
"""Prompts from which on it is asked at all: of fewer, a reward model that has hardly learned yet
may lose most, since whatever it goes by (length) goes for all of them alike."""
CERTAIN = {0.0: math.inf, 0.5: 0.0, 1.0: -math.inf}
"""The statistic where all pairs are alike: lost, tied, won."""


def sign(
    correct: Sequence[float], prompts: Sequence[Hashable], *, false_alarms: float
) -> Finding | None:
    """Whether chosen answers score below rejected ones more often than by chance.

    Args:
        correct: 1 where the chosen answer scored higher, 0 where lower, a half for a tie.
        prompts: what each pair is about; pairs of one prompt are one piece of evidence.
        false_alarms: how often a reward that knows nothing trips.

    Returns:
        None where fewer than `FEWEST` prompts have pairs.
    """
    y = np.asarray(correct, dtype=np.float64)
    if len(set(prompts)) < FEWEST:
        return None
    error, dof = standard_error(y, prompts)
    share = float(y.mean())
    # All alike: no error to divide by, and nothing to doubt.
    t = (0.5 - share) / error if error > 0 else CERTAIN[share]
    threshold = float(stats.t.isf(false_alarms, dof))
    tripped = t >= threshold
    says = f"Chosen answers score above rejected ones in {share:.1%} of {len(y):,} held-out pairs."
    if tripped:
        says += (
            " The reward prefers what people rejected: see whether chosen and rejected stand the "
            "right way round in the comparisons, and whether a reward of your own has its sign."
        )
    return Finding("sign", t, threshold, false_alarms, tripped, says)
