"""Win rates against a baseline, in percent, as AlpacaEval defines them.

A win is a number in [0, 1]: 1 the model's answer is better, 0 the baseline's, a half a tie, and
what lies between is how sure the judge was (AlpacaEval's preference minus 1).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from heed.stats.bootstrap import Array
from heed.stats.intervals import (
    Clusters,
    Estimate,
    mean_interval,
    proportion_interval,
    standard_error,
)


@dataclass(frozen=True, slots=True)
class WinRate:
    """`rate`: the mean win; `discrete`: wins rounded to won, lost or tied; `error`: of the rate."""

    rate: Estimate
    error: float
    discrete: Estimate


def win_rate(
    wins: ArrayLike, items: Sequence[Hashable] | None = None, level: float = 0.95
) -> WinRate:
    """The win rate 100/n sum_i w_i (Dubois et al. 2023, arXiv:2305.14387), its error and interval.

    The discrete rate counts w > 1/2 as won and w = 1/2 as half won. Intervals are Student's, cut
    at 0 and 100, or Wilson's where every win is 0 or 1. With `items`, of which one may have been
    answered several times, they are cluster-robust.

        >>> found = win_rate([1.0, 0.0, 0.9, 0.5])
        >>> round(found.rate.mean, 3), round(found.discrete.mean, 3)
        (60.0, 62.5)

    Args:
        wins: numbers in [0, 1].
        items: what each win was about.
        level: coverage of the intervals.

    Raises:
        ValueError: a win is out of range, or the lengths differ.
    """
    y = checked_wins(wins)
    error = standard_error(y, items)[0] if len(y) else math.nan
    won = np.where(y == 0.5, 0.5, (y > 0.5).astype(np.float64))
    return WinRate(_interval(y, items, level), 100 * error, _interval(won, items, level))


def checked_wins(wins: ArrayLike) -> Array:
    """Wins as numbers. Raises ValueError where one is not in [0, 1]."""
    y = np.asarray(wins, dtype=np.float64)
    if not ((y >= 0) & (y <= 1)).all():  # written so that nan is refused too
        raise ValueError("a win is a number from 0 (lost) to 1 (won); leave out what is unknown")
    return y


def _interval(y: Array, items: Clusters | None, level: float) -> Estimate:
    plain = bool(np.isin(y, (0.0, 1.0)).all())
    found = (proportion_interval if plain else mean_interval)(y, items, level)
    # Python's max and min would turn a bound that is nan into a number.
    low, high = np.clip([found.low, found.high], 0, 1).tolist()
    return Estimate(100 * found.mean, 100 * low, 100 * high, found.n)
