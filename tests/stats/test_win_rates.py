from __future__ import annotations

import math

import numpy as np
import pytest

from heed.stats.intervals import mean_interval, proportion_interval
from heed.stats.win_rates import win_rate


def test_by_hand() -> None:
    found = win_rate([1, 0, 0.9, 0.5])
    assert found.rate.mean == pytest.approx(60)
    assert found.discrete.mean == pytest.approx(62.5)  # two won, one tied
    spread = math.sqrt((0.4**2 + 0.6**2 + 0.3**2 + 0.1**2) / 3)
    assert found.error == pytest.approx(100 * spread / 2)
    assert found.rate.n == 4
    assert (found.rate.low, found.rate.high) == (0, 100)  # Student's bounds, cut


def test_a_swap_is_the_complement() -> None:
    wins = np.random.default_rng(0).beta(0.3, 0.6, 50)
    one, other = win_rate(wins), win_rate(1 - wins)
    assert one.rate.mean == pytest.approx(100 - other.rate.mean)
    assert one.discrete.mean == pytest.approx(100 - other.discrete.mean)
    assert one.rate.low == pytest.approx(100 - other.rate.high)
    assert one.error == pytest.approx(other.error)


def test_zeros_and_ones_have_wilsons_interval() -> None:
    lost = win_rate([0.0] * 20)
    assert (lost.rate.mean, lost.rate.low, lost.error) == (0, 0, 0)
    assert lost.rate.high == pytest.approx(100 * proportion_interval([0.0] * 20).high)
    assert win_rate([0.5] * 20).rate.high == 50


def test_answers_to_one_item_are_no_evidence_of_their_own() -> None:
    wins, items = [0.9, 0.8, 0.2, 0.3, 0.6, 0.7], list("aabbcc")
    clustered = win_rate(wins, items)
    expected = mean_interval(wins, items)
    assert clustered.rate.low == pytest.approx(max(0, 100 * expected.low))
    assert clustered.error > win_rate(wins).error


def test_little_and_wrong_data() -> None:
    empty = win_rate([])
    assert math.isnan(empty.rate.mean)
    assert math.isnan(empty.error)
    alone = win_rate([0.7])
    assert alone.rate.mean == pytest.approx(70)
    assert math.isnan(alone.rate.low)
    for wrong in (1.5, -0.1, math.nan):
        with pytest.raises(ValueError, match="from 0"):
            win_rate([0.5, wrong])
    with pytest.raises(ValueError, match="clusters"):
        win_rate([0.5, 0.4], ["a"])


def test_the_interval_covers_the_rate_of_prompts_with_luck_of_their_own() -> None:
    """60 prompts, three votes each, ties included; the truth by many draws of the same kind."""
    rng = np.random.default_rng(0)

    def votes(prompts: int) -> np.ndarray:
        luck = 1 / (1 + np.exp(-rng.normal(0.5, 1.5, (prompts, 1))))
        drawn = (rng.random((prompts, 3)) < luck).astype(float)
        return np.where(rng.random((prompts, 3)) < 0.2, 0.5, drawn)

    truth = 100 * votes(1_000_000).mean()
    items = np.repeat(np.arange(60), 3).tolist()
    covered = []
    for _ in range(1500):
        found = win_rate(votes(60).ravel(), items).rate
        covered.append(found.low <= truth <= found.high)
    assert 0.93 <= np.mean(covered) <= 0.97
