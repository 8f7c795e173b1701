"""Does the sampler draw from the policy that trains, and does it say so?

A sampler with another temperature, stale weights or another chat template draws answers that are
off-policy, and nothing fails: ratios are only wrong. Both gates hold a round of answers against
the training forward.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from scipy import stats

from heed.gates.finding import Finding
from heed.stats.intervals import standard_error


def logprobs(reported: Sequence[float], trained: Sequence[float], *, tolerance: float) -> Finding:
    """Whether log-probs that the sampler reported are the training forward's.

    The statistic is the mean absolute difference a token, in nats; it is no test and trips by
    chance never.
    """
    gaps = np.abs(np.subtract(reported, trained))
    statistic = float(gaps.mean())
    tripped = not statistic <= tolerance  # so that nan trips
    says = (
        f"The sampler's log-probs lie {statistic:.2g} nats a token from those of the training "
        f"forward on average, {float(gaps.max()):.2g} at most; {tolerance:g} is allowed."
    )
    if tripped:
        says += (
            " The two see other weights, another temperature or other tokens: ratios would be of "
            "different policies."
        )
    return Finding("logprobs", statistic, tolerance, 0.0, tripped, says)


def draws(
    surprisal: Sequence[float],
    entropy: Sequence[float],
    prompts: Sequence[Hashable],
    *,
    false_alarms: float,
) -> Finding | None:
    """Whether answers are drawn from the distribution that training computes.

    Of a token drawn from p, the expected surprisal -log p(token) is the entropy of p, whatever was
    drawn before: the differences are a martingale's, and the sum of one answer has the mean 0. Too
    high a temperature of the sampler makes it positive, too low a one negative.

        t = mean(sum of (-log p - H) over an answer) / its cluster-robust error

    Args:
        surprisal: -log p of an answer's tokens, summed, by the training forward.
        entropy: the entropies at these tokens, summed.
        prompts: what each answer is to.
        false_alarms: of a two-sided test.

    Returns:
        None where fewer than two prompts were answered.
    """
    excess = np.subtract(surprisal, entropy)
    if len(excess) < 2:
        return None
    error, dof = standard_error(excess, prompts)
    if dof < 1:
        return None
    mean = float(excess.mean())
    t = abs(mean) / error if error > 0 else math.inf if mean else 0.0
    threshold = float(stats.t.isf(false_alarms / 2, dof))
    tripped = t >= threshold
    says = (
        f"Answers are {mean:+.3f} nats more surprising than the policy's entropy says, over "
        f"{len(excess):,} answers."
    )
    if tripped:
        says += (
            f" They are drawn from a {'flatter' if mean > 0 else 'sharper'} distribution than the "
            "one that trains: compare the sampler's temperature, weights and chat template with "
            "the policy's."
        )
    return Finding("draws", t, threshold, false_alarms, tripped, says)
