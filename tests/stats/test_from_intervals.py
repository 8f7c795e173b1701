"""Differences from intervals alone: by hand, against the direct interval, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from heed.stats.from_intervals import difference, of_many
from heed.stats.intervals import Estimate, difference_interval, mean_interval


def test_by_hand() -> None:
    found = difference(Estimate(5.0, 2.0, 9.0, 30), Estimate(1.0, -3.0, 2.0, 20))
    assert found.mean == 4.0
    assert found.low == pytest.approx(4 - (3**2 + 1**2) ** 0.5)
    assert found.high == pytest.approx(4 + (4**2 + 4**2) ** 0.5)
    assert found.n == 20


def test_of_two_independent_samples_it_is_nearly_the_direct_one() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(1, 1, 400), generator.normal(0, 2, 300)
    found, direct = difference(mean_interval(a), mean_interval(b)), difference_interval(a, b)
    assert found.mean == pytest.approx(direct.mean)
    assert (found.low, found.high) == pytest.approx((direct.low, direct.high), abs=0.01)


def test_it_covers_in_95_of_100_and_more_where_both_answered_the_same_prompts() -> None:
    generator = np.random.default_rng(1)
    covered = {0.0: 0, 0.7: 0}
    for correlation in covered:
        for _ in range(1000):
            shared = generator.normal(0, correlation**0.5, 60)
            a, b = (shared + generator.normal(0, (1 - correlation) ** 0.5, 60) for _ in range(2))
            found = difference(mean_interval(a), mean_interval(b))
            covered[correlation] += found.low <= 0 <= found.high
    assert 935 <= covered[0.0] <= 975
    assert covered[0.7] >= 990


def test_what_is_unknown_stays_unknown() -> None:
    nan = float("nan")
    found = difference(Estimate(1.0, nan, nan, 1), Estimate(0.0, -1.0, 1.0, 9))
    assert found.mean == 1.0
    assert np.isnan([found.low, found.high]).all()


def test_one_look_changes_nothing_and_many_widen_both_sides() -> None:
    found = Estimate(1.0, 0.0, 3.0, 9)
    assert of_many(found, 1) == found
    wider = of_many(found, 10)
    ratio = stats.norm.ppf(1 - 0.0025) / stats.norm.ppf(0.975)
    assert (wider.low, wider.high) == pytest.approx((1 - ratio, 1 + 2 * ratio))
    with pytest.raises(ValueError, match="once or more"):
        of_many(found, 0)


def test_of_ten_looks_at_nothing_all_hold_at_once_in_95_of_100() -> None:
    generator = np.random.default_rng(2)
    held = 0
    for _ in range(400):
        looks = [of_many(mean_interval(generator.normal(0, 1, 200)), 10) for _ in range(10)]
        held += all(each.low <= 0 <= each.high for each in looks)
    assert held >= 366  # 380 expected, three standard deviations
