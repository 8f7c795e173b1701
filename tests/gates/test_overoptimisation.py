from __future__ import annotations

import math

import numpy as np
import pytest

from heed.gates.overoptimisation import Look, fallen, looks_of, overoptimisation


def test_when_it_is_looked() -> None:
    assert looks_of(20, 5) == [1, 5, 10, 15, 20]
    assert looks_of(12, 5) == [1, 5, 10, 12]
    assert looks_of(1, 5) == [1]


def look(step: int, heldout: float, proxy: float, rng: np.random.Generator, n: int = 64) -> Look:
    own = np.random.default_rng(9).normal(size=n)  # what is common to all looks at a prompt
    return Look(
        step,
        (heldout + own + 0.5 * rng.normal(size=n)).tolist(),
        (proxy + own + 0.1 * rng.normal(size=n)).tolist(),
    )


def test_a_fall_by_hand() -> None:
    first = Look(1, [1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0])
    same = Look(5, [1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 1.0, 1.0])
    assert fallen([first], 0.0) == 0
    assert fallen([first, same], 0.0) == 0
    lower = Look(10, [0.0, 1.0, 2.0, 3.0], [2.0, 2.0, 2.0, 2.0])
    assert fallen([first, lower], 0.0) == math.inf  # by exactly as much at every prompt
    uneven = Look(10, [0.0, 1.0, 2.0, 4.0], [2.0, 2.0, 2.0, 2.0])
    # falls 1, 1, 1, 0: t = .75 / (.5 / 2) = 3, of which Student's tail with 3 degrees is .0288
    assert fallen([first, uneven], 0.0) == pytest.approx(1.899, abs=2e-3)


def test_both_may_fall_together() -> None:
    first = Look(1, [1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 2.0, 2.0])
    lower = Look(10, [0.0, 1.0, 2.0, 4.0], [1.0, 1.0, 1.0, 1.0])
    assert fallen([first, lower], 0.0) == 0


@pytest.mark.parametrize(("drop", "least", "most"), [(0.0, 0, 8), (0.8, 98, 100)])
def test_false_alarms_and_power(drop: float, least: int, most: int) -> None:
    rng = np.random.default_rng(5)
    steps = looks_of(60, 5)
    tripped = 0
    for _ in range(100):
        looks: list[Look] = []
        for at, step in enumerate(steps):
            heldout = 1.0 - (drop if at >= 7 else 0.0)
            looks.append(look(step, heldout, at / 10, rng))
            found = overoptimisation(
                fallen(looks, 0.05), heldout=heldout, best=1.0, looks=len(steps), false_alarms=0.02
            )
            if found.tripped:
                tripped += 1
                assert "has fallen while" in found.says
                break
    assert least <= tripped <= most
