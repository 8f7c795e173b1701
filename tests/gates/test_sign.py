from __future__ import annotations

import math

import numpy as np
import pytest

from heed.gates.sign import sign


def test_by_hand() -> None:
    # a = 2/5 of 40 prompts, s = sqrt(40/39 * 9.6) / 40 = .0784, t = .1 / .0784
    found = sign([1.0] * 16 + [0.0] * 24, range(40), false_alarms=0.01)
    assert found is not None
    assert found.statistic == pytest.approx(0.1 / (math.sqrt(40 / 39 * 9.6) / 40))
    assert found.threshold == pytest.approx(2.426, abs=1e-3)  # Student's, 39 degrees
    assert not found.tripped
    assert "40.0% of 40 held-out pairs" in found.says


def test_a_flipped_sign_trips_and_a_right_one_does_not() -> None:
    right = [1.0] * 70 + [0.0] * 30
    for correct, tripped in ((right, False), ([1 - y for y in right], True)):
        found = sign(correct, range(100), false_alarms=0.01)
        assert found is not None
        assert found.tripped is tripped
        assert ("the right way round" in found.says) is tripped


@pytest.mark.parametrize(("value", "tripped"), [(0.0, True), (0.5, False), (1.0, False)])
def test_all_alike(value: float, tripped: bool) -> None:
    found = sign([value] * 30, range(30), false_alarms=0.01)
    assert found is not None
    assert found.tripped is tripped


def test_few_prompts_are_no_evidence() -> None:
    assert sign([], [], false_alarms=0.01) is None
    assert sign([0.0] * 29, range(29), false_alarms=0.01) is None
    assert sign([0.0] * 50, ["same"] * 50, false_alarms=0.01) is None


def test_who_knows_nothing_trips_as_often_as_is_said() -> None:
    rng = np.random.default_rng(0)
    prompts = np.repeat(np.arange(100), 3)  # three pairs a prompt that go together
    trips = 0
    for _ in range(2000):
        shared = rng.integers(0, 2, 100).repeat(3)
        own = rng.integers(0, 2, 300)
        correct = np.where(rng.random(300) < 0.5, shared, own).astype(float)
        found = sign(correct.tolist(), prompts.tolist(), false_alarms=0.02)
        trips += found is not None and found.tripped
    assert trips / 2000 == pytest.approx(0.02, abs=0.01)
