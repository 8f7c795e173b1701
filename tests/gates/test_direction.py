from __future__ import annotations

import math

import numpy as np
import pytest

from heed.gates.direction import leash, step


def test_by_hand() -> None:
    # Parts -1 and -3 by turns: mean -2, error sqrt(20/19) * sqrt(20) / 20.
    found = step([-1.0, -3.0] * 10, range(20), false_alarms=0.01)
    assert found is not None
    assert found.statistic == pytest.approx(2 / (math.sqrt(20 / 19 * 20) / 20))
    assert found.threshold == pytest.approx(2.539, abs=1e-3)
    assert found.tripped
    assert "0.0% of 20 held-out comparisons" in found.says
    assert "its sign" in found.says
    right = step([1.0, 3.0] * 10, range(20), false_alarms=0.01)
    assert right is not None
    assert right.statistic == -found.statistic
    assert not right.tripped


@pytest.mark.parametrize(
    ("part", "tripped"), [(-0.5, True), (0.0, False), (0.5, False), (math.nan, True)]
)
def test_all_alike(part: float, tripped: bool) -> None:
    for look in (step, leash):
        found = look([part] * 30, range(30), false_alarms=0.01)
        assert found is not None
        assert found.tripped == tripped


def test_too_few() -> None:
    assert step([], [], false_alarms=0.01) is None
    assert step([-1.0] * 19, range(19), false_alarms=0.01) is None
    assert leash([-1.0] * 100, ["a"] * 100, false_alarms=0.01) is None


def trips(accuracy: float, n: int = 256, runs: int = 1000) -> float:
    """The share that trips where the reward prefers what people chose with a chance `accuracy`,
    and what a comparison's part is worth is exponential.
    """
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(runs):
        right = np.where(rng.random(n) < accuracy, 1, -1)
        look = step((right * rng.exponential(size=n)).tolist(), range(n), false_alarms=0.01)
        found += look is not None and look.tripped
    return found / runs


@pytest.mark.parametrize(
    ("accuracy", "least", "most"), [(0.5, 0, 0.02), (0.7, 0, 0), (0.3, 0.95, 1)]
)
def test_power_and_false_alarms(accuracy: float, least: float, most: float) -> None:
    assert least <= trips(accuracy) <= most
