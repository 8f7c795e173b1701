from __future__ import annotations

import numpy as np
import pytest

from heed.gates.decoys import fooled


def test_by_hand() -> None:
    # P(X > 3 | 10, .1) = .013, P(X > 4) = .0016: of one decoy at .01, five wins of ten trip.
    for wins, tripped in ((4, False), (5, True)):
        asked = {"constant": [True] * wins + [False] * (10 - wins)}
        found = fooled(asked, share=0.1, false_alarms=0.01)
        assert found is not None
        assert found.threshold == 0.4
        assert found.statistic == wins / 10
        assert found.tripped == tripped
    assert "fooled by the constant answer" in found.says
    assert "constant 5 of 10" in found.says


def test_the_worst_one_counts() -> None:
    asked = {"constant": [False] * 32, "empty": [True] * 32, "injection": [True] + [False] * 31}
    found = fooled(asked, share=0.1, false_alarms=0.01)
    assert found is not None
    assert found.tripped
    assert found.statistic == 1.0
    assert "by the empty answer" in found.says


def test_nothing_asked() -> None:
    assert fooled({}, share=0.1, false_alarms=0.01) is None
    assert fooled({"constant": []}, share=0.1, false_alarms=0.01) is None


@pytest.mark.parametrize(("rate", "least", "most"), [(0.0, 0, 0), (0.1, 0, 0.015), (0.5, 0.95, 1)])
def test_power_and_false_alarms(rate: float, least: float, most: float) -> None:
    """All decoys win at 32 prompts with a chance of `rate`: the bound is .1."""
    rng = np.random.default_rng(0)
    trips = 0
    for _ in range(2000):
        asked = {name: (rng.random(32) < rate).tolist() for name in ("a", "b", "c")}
        found = fooled(asked, share=0.1, false_alarms=0.01)
        trips += found is not None and found.tripped
    assert least <= trips / 2000 <= most
