from __future__ import annotations

import math

import numpy as np
import pytest

from heed.stats.rating_bootstrap import bootstrap_ratings
from heed.stats.ratings import START, bradley_terry

NAMES = ["a", "b", "c"]


def drawn(rng: np.random.Generator, prompts: int, strength: np.ndarray) -> tuple[list, ...]:
    """Three votes a prompt, each two once, whose luck the prompt shares."""
    left, right, won, clusters = [], [], [], []
    for prompt in range(prompts):
        luck = rng.normal(0, 1, 3)
        for a, b in ((0, 1), (1, 2), (2, 0)):
            gap = strength[a] - strength[b] + luck[a] - luck[b]
            left.append(NAMES[a])
            right.append(NAMES[b])
            won.append(float(rng.random() < 1 / (1 + math.exp(-gap))))
            clusters.append(prompt)
    return left, right, won, clusters


def test_the_figure_is_bradley_terrys() -> None:
    left, right, won, clusters = drawn(np.random.default_rng(0), 80, np.array([0.8, 0.0, -0.4]))
    for ridge in (0.0, 0.5):
        plain = bradley_terry(left, right, won, clusters=clusters, ridge=ridge)
        found = bootstrap_ratings(left, right, won, clusters=clusters, ridge=ridge, resamples=100)
        for each in plain:
            assert found[each.name].mean == pytest.approx(each.rating, abs=1e-4)
            assert found[each.name].n == 160
            # Of 80 prompts both errors know the same; a hundred resamples are a little unsure.
            assert found[each.name].low == pytest.approx(each.low, abs=0.4 * each.error)
            assert found[each.name].high == pytest.approx(each.high, abs=0.4 * each.error)


def test_whole_prompts_are_resampled() -> None:
    left, right, won, clusters = drawn(np.random.default_rng(1), 60, np.zeros(3))
    once = bootstrap_ratings(left, right, won, clusters=clusters)
    thrice = bootstrap_ratings(left * 3, right * 3, won * 3, clusters=clusters * 3)
    for name in NAMES:
        assert thrice[name].low == pytest.approx(once[name].low)
        assert thrice[name].high == pytest.approx(once[name].high)
    alone = bootstrap_ratings(left * 3, right * 3, won * 3)
    assert alone["a"].high - alone["a"].low < 0.8 * (once["a"].high - once["a"].low)


def test_the_sandwich_covers_the_rating() -> None:
    """Prompts with luck of their own; by symmetry three equals are all rated 1000."""
    rng = np.random.default_rng(2)
    covered = []
    for _ in range(500):
        left, right, won, clusters = drawn(rng, 50, np.zeros(3))
        for each in bradley_terry(left, right, won, clusters=clusters):
            covered.append(each.low <= START <= each.high)
    assert 0.93 <= np.mean(covered) <= 0.97


@pytest.mark.slow
def test_the_bootstrap_covers_the_rating() -> None:
    rng = np.random.default_rng(3)
    covered = []
    for _ in range(600):
        left, right, won, clusters = drawn(rng, 50, np.zeros(3))
        found = bootstrap_ratings(left, right, won, clusters=clusters, resamples=400)
        covered += [each.low <= START <= each.high for each in found.values()]
    assert 0.93 <= np.mean(covered) <= 0.97


def test_votes_that_do_not_determine_ratings() -> None:
    with pytest.raises(ValueError, match="determine"):
        bootstrap_ratings(["a", "a"], ["b", "b"], [1, 1])
    with pytest.raises(ValueError, match="2 left, 1 right"):
        bootstrap_ratings(["a", "a"], ["b"], [1, 1])
    # One loss of four: a third of the resamples miss it, and then nothing is known of a bound.
    found = bootstrap_ratings(["a"] * 4, ["b"] * 4, [1, 1, 1, 0])
    assert found["a"].mean == pytest.approx(START + 200 * math.log10(3))
    assert math.isnan(found["a"].low)
