"""Levels that a training may have: hand numbers, false alarms of correlated rounds, power."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from heed.gates.finding import Finding
from heed.gates.levels import (
    FIRST,
    disagreement,
    entropy_collapse,
    kl_budget,
    length_explosion,
    outliers,
    repetition,
    rollout_gap,
    stand_out,
)

Ask = Callable[[list[float], int], Finding | None]
ASKS: dict[str, Ask] = {
    "kl": lambda x, n: kl_budget(x, budget=10.0, iterations=n, false_alarms=0.02),
    "entropy": lambda x, n: entropy_collapse(x, share=0.25, iterations=n, false_alarms=0.02),
    "repetition": lambda x, n: repetition(x, rise=0.1, iterations=n, false_alarms=0.02),
    "length": lambda x, n: length_explosion(x, times=2.0, iterations=n, false_alarms=0.02),
    "disagreement": lambda x, n: disagreement(x, times=2.0, iterations=n, false_alarms=0.02),
    "outliers": lambda x, n: outliers(x, times=2.0, iterations=n, false_alarms=0.02),
    "rollout_gap": lambda x, n: rollout_gap(x, budget=0.1, iterations=n, false_alarms=0.02),
}
KNOWN = ("kl", "rollout_gap")
"""Gates whose bound does not go by the first rounds."""
# The level of the first rounds, what is allowed to follow, what is too much, the noise of a round.
LEVELS = {
    "kl": (10.0, 10.0, 12.0, 0.5),
    "entropy": (0.4, 0.1, 0.02, 0.02),
    "repetition": (0.05, 0.15, 0.25, 0.02),
    "length": (10.0, 20.0, 30.0, 0.8),
    "disagreement": (0.3, 0.6, 0.9, 0.03),
    "outliers": (2.0, 4.0, 8.0, 0.3),
    "rollout_gap": (0.1, 0.1, 0.12, 0.005),
}


def series(
    levels: tuple[float, float], noise: float, n: int, rng: np.random.Generator
) -> list[float]:
    """The first rounds at one level, the others at another, AR(1) noise of correlation .5."""
    x = np.zeros(n)
    for t in range(n):
        x[t] = (0.5 * x[t - 1] if t else 0.0) + rng.normal() * math.sqrt(0.75)
    level = np.where(np.arange(n) < FIRST, levels[0], levels[1])
    return (level + noise * x).tolist()


def trips(ask: Ask, values: list[float]) -> bool:
    """Whether the gate trips at any iteration."""
    n = len(values)
    found = (ask(values[:t], n) for t in range(FIRST + 1, n + 1))
    return any(each is not None and each.tripped for each in found)


@pytest.mark.parametrize("gate", sorted(ASKS))
def test_a_level_on_its_bound_seldom_trips(gate: str) -> None:
    rng = np.random.default_rng(2)
    first, bound, _, noise = LEVELS[gate]
    runs = [trips(ASKS[gate], series((first, bound), noise, 60, rng)) for _ in range(200)]
    assert sum(runs) <= 10  # .02 of 200 is 4; more than 10 has a chance of .003


@pytest.mark.parametrize("gate", sorted(ASKS))
def test_what_does_not_change_never_trips(gate: str) -> None:
    rng = np.random.default_rng(3)
    first, *_, noise = LEVELS[gate]
    level = 0.8 * first if gate in KNOWN else first
    assert not any(trips(ASKS[gate], series((level, level), noise, 120, rng)) for _ in range(50))


@pytest.mark.parametrize("gate", sorted(ASKS))
def test_what_goes_too_far_trips(gate: str) -> None:
    rng = np.random.default_rng(4)
    first, _, beyond, noise = LEVELS[gate]
    runs = [trips(ASKS[gate], series((first, beyond), noise, 60, rng)) for _ in range(40)]
    assert sum(runs) == 40


def test_the_finding_says_what_it_saw() -> None:
    found = kl_budget([1.0] * 12 + [30.0] * 10, budget=10.0, iterations=30, false_alarms=0.01)
    assert found is not None
    assert found.tripped
    assert found.statistic >= found.threshold
    assert found.says.startswith("KL from the reference is 30.00 nats an answer, its budget 10.")
    assert "kl.coef" in found.says
    calm = kl_budget([1.0, 1.1] * 10, budget=10.0, iterations=30, false_alarms=0.01)
    assert calm is not None
    assert (calm.statistic, calm.tripped) == (0.0, False)
    assert "kl.coef" not in calm.says


def test_nothing_is_said_before_the_first_rounds_are_over() -> None:
    for gate, ask in ASKS.items():
        assert gate in KNOWN or ask([1.0] * FIRST, 60) is None
        assert ask([math.nan] * 40, 60) is None


def test_early_rounds_beyond_a_budget_are_not_at_rest_and_trip_nothing() -> None:
    within = kl_budget([0.0, 4.0, 8.0], budget=10.0, iterations=60, false_alarms=0.01)
    beyond = kl_budget([0.0, 4.0, 80.0], budget=10.0, iterations=60, false_alarms=0.01)
    assert within is not None
    assert beyond is not None
    assert (within.statistic, within.tripped) == (0.0, False)
    assert beyond.statistic > 0.0
    assert (beyond.threshold, beyond.tripped) == (math.inf, False)


def test_how_far_the_best_stands_out_by_hand() -> None:
    assert stand_out([0.0, 1.0, 2.0, 3.0, 4.0]) == pytest.approx(1.0)
    assert math.isnan(stand_out([1.0, 1.0, 1.0]))
