from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from heed.stats.cycles import cycles


def test_a_circle_of_three() -> None:
    found = cycles("ABC", "BCA", [1.0] * 3, resamples=4000)
    assert found is not None
    assert (found.triads, found.cyclic) == (1, 1)
    assert found.by_coin == pytest.approx(0.25, abs=0.03)
    assert found.above_order == pytest.approx(0.25, abs=0.03)  # equals: theirs is a coin, too
    assert found.below_coin == 1.0


def test_an_order_and_who_never_met() -> None:
    found = cycles("ABAC", "BCCD", [1.0] * 4)
    assert found is not None
    assert (found.triads, found.cyclic) == (1, 0)
    assert cycles("AB", "BC", [1.0, 1.0]) is None
    assert cycles("", "", []) is None


def test_sides_do_not_matter_and_ties_decide_nothing() -> None:
    found = cycles("ACCA", "BBAC", [1.0, 0.0, 1.0, 0.5], resamples=10)
    assert found is not None
    assert (found.triads, found.cyclic) == (1, 1)
    tied = cycles("ABCA", "BCAC", [1.0, 1.0, 1.0, 1.0], resamples=10)
    assert tied is not None
    assert tied.triads == 0


def test_kendalls_count_on_a_tournament_of_ten() -> None:
    """d = n(n-1)(2n-1)/12 - sum(wins^2)/2, of complete pairs without ties."""
    rng = np.random.default_rng(0)
    a, b = np.triu_indices(10, 1)
    scores = rng.integers(0, 2, len(a)).astype(float)
    wins = np.bincount(a, scores, 10) + np.bincount(b, 1 - scores, 10)
    found = cycles(a.tolist(), b.tolist(), scores.tolist(), resamples=2000)
    assert found is not None
    assert found.cyclic == round(10 * 9 * 19 / 12 - (wins**2).sum() / 2)
    assert (found.triads, found.by_coin) == (120, pytest.approx(30, rel=0.03))


def test_false_alarms_of_an_order_are_as_rare_as_said() -> None:
    """Eight models in a line, noisy votes: p <= .05 in about a twentieth of the worlds."""
    rng = np.random.default_rng(1)
    theta = np.linspace(-1, 1, 8)
    a, b = (np.repeat(side, 9) for side in np.triu_indices(8, 1))
    alarms = 0
    for seed in range(200):
        wins = rng.random(len(a)) < 1 / (1 + np.exp(theta[b] - theta[a]))
        found = cycles(a.tolist(), b.tolist(), wins.astype(float).tolist(), resamples=99, seed=seed)
        assert found is not None
        alarms += found.above_order <= 0.05
    assert alarms / 200 <= 0.09


def test_a_planted_circle_is_found() -> None:
    """Rock, paper, scissors by eight votes in ten: no order gives that."""
    left, right = list("ABC") * 61, list("BCA") * 61
    scores = [float(vote % 10 < 8) for vote in range(61) for _ in range(3)]
    copies = [[f"{name}{copy}" for copy in range(3) for name in side] for side in (left, right)]
    found = cycles(copies[0], copies[1], scores * 3)
    assert found is not None
    assert (found.triads, found.cyclic) == (3, 3)
    assert found.above_order < 0.05


def test_llmfaos_crowd_has_an_order() -> None:
    place = os.environ.get("HEED_LLMFAO_DATA")
    if not place:
        pytest.skip("HEED_LLMFAO_DATA names no folder with crowd-comparisons.csv")
    with (Path(place) / "crowd-comparisons.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    scores = [{"left": 1.0, "right": 0.0, "tie": 0.5}[row["winner"]] for row in rows]
    found = cycles(
        [row["left"] for row in rows], [row["right"] for row in rows], scores, resamples=200
    )
    assert found is not None
    assert found.below_coin < 0.01
