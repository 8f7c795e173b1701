"""Watching a series for a change while it grows: Page's CUSUM, with its false alarms over a run.

    S_t = max(0, S_{t-1} + (x_t - bound) / s - k),   an alarm where S_t >= h

Page 1954 (Biometrika 41). S is at 0 while the level is below the bound plus the slack k; after an
alarm, the last t at which it was 0 is the likeliest place of the change. Of series whose rounds
are correlated, s is the long-run standard deviation, to which the limit of S alone is sensitive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq

OVERSHOOT = 1.166
"""By which a Gaussian walk's boundary is to be raised: 2 * 0.583 (Siegmund 1985, eq. 10.55)."""


def cusum(excess: Sequence[float], slack: float) -> float:
    """Page's statistic after a series of standardised excesses over the bound."""
    value = 0.0
    for each in excess:
        value = max(0.0, value + each - slack)
    return value


def cusum_limit(looks: int, false_alarms: float, slack: float) -> float:
    """The h at which a series that lies on its bound gives an alarm within so many looks in a share
    `false_alarms` of runs.

    An alarm comes after ARL looks on average, (exp(y) - y - 1) / 2k^2 with y = 2k(h + 1.166)
    (Siegmund 1985, eq. 2.54), at nearly exponential times: false_alarms = 1 - exp(-looks / ARL).
    """
    wanted = looks / -math.log1p(-false_alarms)

    def lacking(h: float) -> float:
        y = 2 * slack * (h + OVERSHOOT)
        return (math.exp(y) - y - 1) / (2 * slack**2) - wanted

    return float(brentq(lacking, -OVERSHOOT, 200 / slack))


def round_noise(values: Sequence[float], correlation: float) -> float:
    """The long-run standard deviation of a series, whatever trend it has.

    The mean moving range over d_2 = 2 / sqrt(pi), as in charts of individual values (Montgomery,
    Introduction to Statistical Quality Control, ch. 6.4), is sigma sqrt(1 - rho) under noise AR(1);
    neither a trend nor one jump adds much to it. The long-run variance is sigma^2 (1 + rho) /
    (1 - rho). `correlation` is the rho that is assumed, since short series tell it badly: where it
    is less in truth, the answer is too large, which is the safe side.
    """
    moving_range = float(np.mean(np.abs(np.diff(np.asarray(values, dtype=np.float64)))))
    return moving_range * math.sqrt(math.pi * (1 + correlation)) / 2 / (1 - correlation)
