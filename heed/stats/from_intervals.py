"""What two intervals allow to be said of a difference, where the values themselves are gone."""

from __future__ import annotations

import math

from scipy import stats

from heed.stats.intervals import Estimate


def difference(a: Estimate, b: Estimate) -> Estimate:
    """a - b with an interval made of both intervals, as if the two were independent.

    The method of variance estimates recovery (Zou & Donner 2008, Stat. Med. 27:1693): with
    distances to the bounds l and u, low = d - sqrt(l_a^2 + u_b^2), high = d + sqrt(u_a^2 + l_b^2).
    Of policies that answered the same prompts the paired interval is narrower where their values
    rise together, as they nearly always do: this one claims less. n = the smaller of both.
    """
    d = a.mean - b.mean
    low = d - math.hypot(a.mean - a.low, b.high - b.mean)
    high = d + math.hypot(a.high - a.mean, b.mean - b.low)
    return Estimate(d, low, high, min(a.n, b.n))


def of_many(found: Estimate, looks: int, level: float = 0.95) -> Estimate:
    """An interval wide enough for a whole family of `looks` to hold at once (Bonferroni).

    The distances to the bounds grow by the ratio of the normal quantiles at 1 - (1 - level)/looks
    and at `level`.

    Raises:
        ValueError: fewer than one look.
    """
    if looks < 1:
        raise ValueError("an interval is looked at once or more")
    tail = (1 - level) / 2
    return widened(found, float(stats.norm.isf(tail / looks) / stats.norm.isf(tail)))


def widened(found: Estimate, times: float) -> Estimate:
    """An estimate whose bounds lie so many times as far from its mean."""
    low = found.mean - times * (found.mean - found.low)
    return Estimate(found.mean, low, found.mean + times * (found.high - found.mean), found.n)
