from __future__ import annotations

import math

import numpy as np
import pytest

from heed.stats.sequential import cusum, cusum_limit, round_noise


def test_cusum_by_hand() -> None:
    assert cusum([], 0.5) == 0
    assert cusum([1.0, 2.0], 0.5) == pytest.approx(2.0)
    assert cusum([-3.0, 1.0], 0.5) == pytest.approx(0.5)
    assert cusum([-3.0, -1.0], 0.5) == 0


def test_the_limit_gives_the_run_length_that_is_published() -> None:
    # Montgomery, table 9.3: k = 1/2, h = 4 and 5, two-sided ARL 168 and 465, so one-sided 336, 930.
    for h, arl in ((4.0, 336), (5.0, 930)):
        assert cusum_limit(arl, 1 - math.exp(-1), 0.5) == pytest.approx(h, abs=0.02)


def test_the_limit_keeps_its_false_alarms() -> None:
    rng = np.random.default_rng(0)
    limit = cusum_limit(200, 0.05, 0.5)
    value, alarmed = np.zeros(4000), np.zeros(4000, dtype=bool)
    for _ in range(200):
        value = np.maximum(0.0, value + rng.normal(size=4000) - 0.5)
        alarmed |= value >= limit
    assert alarmed.mean() == pytest.approx(0.05, abs=0.012)


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_noise_is_told_from_trend(rho: float) -> None:
    rng = np.random.default_rng(1)
    x = np.zeros(4000)
    for t in range(1, len(x)):
        x[t] = rho * x[t - 1] + rng.normal()
    long_run = 1 / (1 - rho)
    trend = np.linspace(0, 30, len(x))
    assert round_noise((x + trend).tolist(), rho) == pytest.approx(long_run, rel=0.05)
    assert round_noise(x.tolist(), 0.5) >= 0.95 * long_run
