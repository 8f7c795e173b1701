from __future__ import annotations

import math

import numpy as np
import pytest

from heed.gates.labels import lengths, sides


def test_by_hand() -> None:
    # 75 of 100 to the left, margin .05: t = .2 / (sqrt(100/99 * 18.75) / 100)
    found = sides([1.0] * 75 + [0.0] * 25, range(100), margin=0.05, false_alarms=0.01)
    assert found is not None
    assert found.statistic == pytest.approx(0.2 / (math.sqrt(100 / 99 * 18.75) / 100))
    assert found.tripped
    assert found.says.startswith("75.0% of 100 choices went to the answer on the left; 45% to 55%")
    assert "one by one" in found.says


def test_the_other_way_counts_as_much() -> None:
    for share in (30, 70):
        y = [1.0] * share + [0.0] * (100 - share)
        found = lengths(y, range(100), margin=0.05, false_alarms=0.01)
        assert found is not None
        assert found.tripped


@pytest.mark.parametrize(("value", "margin"), [(1.0, 0.1), (0.0, 0.1)])
def test_all_one_way(value: float, margin: float) -> None:
    found = sides([value] * 20, range(20), margin=margin, false_alarms=0.01)
    assert found is not None
    assert found.tripped


def test_too_few_say_nothing() -> None:
    assert sides([1.0] * 9, range(9), margin=0.05, false_alarms=0.01) is None
    assert sides([1.0] * 50, ["a"] * 50, margin=0.05, false_alarms=0.01) is None


@pytest.mark.parametrize(
    ("share", "least", "most"), [(0.5, 0, 0), (0.55, 0, 0.025), (0.65, 0.95, 1)]
)
def test_false_alarms_and_power(share: float, least: float, most: float) -> None:
    rng = np.random.default_rng(0)
    trips = 0
    for _ in range(1000):
        y = (rng.random(800) < share).astype(float)
        found = sides(y.tolist(), range(800), margin=0.05, false_alarms=0.01)
        trips += found is not None and found.tripped
    assert least <= trips / 1000 <= most
