"""Gao et al.'s forms: hand numbers, planted coefficients, how often intervals hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from heed.stats.overoptimisation import Fit, Form, basis, fit_best_of_n, fit_rl, peaks

Array = NDArray[np.float64]
FIGURES = ("a", "b", "distance", "best", "end")


def rl(d: Array, a: float, b: float) -> Array:
    """R(d) = d (a - b log d), written out."""
    return np.array([x * (a - b * math.log(x)) if x > 0 else 0.0 for x in d])


def test_the_forms_by_hand() -> None:
    d = np.array([0.0, 1.0, math.e])
    ab = np.array([3.0, 0.5])
    assert basis(d, "best_of_n") @ ab == pytest.approx([0.0, 2.5, math.e * (3 - 0.5 * math.e)])
    assert basis(d, "rl") @ ab == pytest.approx([0.0, 3.0, math.e * 2.5])


@pytest.mark.parametrize(("form", "at"), [("best_of_n", 1.5), ("rl", math.exp(2.0))])
def test_peaks_by_hand(form: Form, at: float) -> None:
    a, b = np.array([3.0]), np.array([1.0])
    assert peaks(a, b, form) == pytest.approx([at])
    around = basis(np.array([at - 0.01, at, at + 0.01]), form) @ np.array([3.0, 1.0])
    assert around.argmax() == 1


def test_what_does_not_bend_down_has_no_peak() -> None:
    a, b = np.array([1.0, 1.0, -1.0]), np.array([0.0, -1.0, 1.0])
    assert peaks(a, b, "best_of_n").tolist() == [math.inf, math.inf, 0.0]
    assert peaks(a, b, "rl").tolist() == [math.inf, math.inf, pytest.approx(math.exp(-2))]
    assert peaks(np.array([1.0]), np.array([1e-6]), "rl").tolist() == [math.inf]


def test_planted_coefficients_of_rl_are_found() -> None:
    d = np.sqrt(np.linspace(0.0, 36.0, 30))
    fit = fit_rl(d, 0.4 + 2.0 * rl(d, 0.9, 0.6), start=0.4, scale=2.0)
    assert fit is not None
    assert (fit.a.mean, fit.b.mean) == pytest.approx((0.9, 0.6))
    assert (fit.start, fit.scale) == pytest.approx((0.4, 2.0))
    assert fit.distance.mean == pytest.approx(math.exp(0.5))
    assert fit.best.mean == pytest.approx(0.6 * math.exp(0.5))
    assert fit.end.mean == pytest.approx(6 * (0.9 - 0.6 * math.log(6)))
    assert fit.lost.mean == pytest.approx(fit.best.mean - fit.end.mean)
    assert (fit.r2, fit.error) == pytest.approx((1.0, 0.0), abs=1e-9)
    assert fit.gain(d) == pytest.approx(rl(d, 0.9, 0.6))


def test_a_peak_beyond_what_was_seen_loses_nothing() -> None:
    d = np.linspace(0.0, 1.5, 20)
    fit = fit_rl(d, rl(d, 1.0, 0.2), start=0.0, scale=1.0)
    assert fit is not None
    assert fit.distance.mean == pytest.approx(math.exp(4.0))
    assert fit.lost.mean == pytest.approx(0.0)
    assert fit.best.mean == pytest.approx(fit.end.mean)


def test_gold_that_falls_at_once_is_best_at_the_start() -> None:
    d = np.linspace(0.0, 3.0, 20)
    fit = fit_rl(d, -d, start=0.0, scale=1.0)
    assert fit is not None
    assert fit.best.mean == pytest.approx(0.0)
    assert fit.lost.mean == pytest.approx(3.0)


def test_what_says_nothing_is_not_fitted() -> None:
    d = np.linspace(0.0, 2.0, 20)
    assert fit_rl(d[:7], d[:7], start=0.0, scale=1.0) is None
    assert fit_rl(np.zeros(20), d, start=0.0, scale=1.0) is None
    assert fit_rl(d, d, start=0.0, scale=0.0) is None
    assert fit_best_of_n(np.ones((5, 3)), np.eye(5)[:, :3]) is None
    assert fit_best_of_n(np.eye(5), np.ones((5, 5))) is None


def test_gold_that_turns_is_seen_to_turn() -> None:
    proxy = np.tile(np.arange(8.0), (3, 1))
    gold = np.array([[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 2.0, 0.0]] * 3)
    fit = fit_best_of_n(proxy, gold)
    assert fit is not None
    assert fit.start == pytest.approx(gold.mean())
    assert fit.scale == pytest.approx(gold.std())
    # All prompts alike: every resample is the sample, and the intervals are points.
    assert fit.a.low == pytest.approx(fit.a.mean) == pytest.approx(fit.a.high)
    # The last n is the best of all: gold 0, so that all that was gained is lost.
    assert fit.lost.low > 0
    assert 0 < fit.distance.mean < fit.farthest


def test_the_best_of_n_is_solved_as_weighted_least_squares() -> None:
    proxy, gold = _population(0, 20, 8)
    fit = fit_best_of_n(proxy, gold)
    assert fit is not None
    d = np.sqrt([math.log(n) - (n - 1) / n for n in range(1, 9)])
    gains = np.array([_best(proxy, gold, n) - gold.mean() for n in range(1, 9)]) / gold.std()
    X, w = np.stack([d, -(d**2)], 1), 1 / np.arange(1, 9)
    assert np.linalg.solve(X.T * w @ X, X.T * w @ gains) == pytest.approx([fit.a.mean, fit.b.mean])


def _best(proxy: Array, gold: Array, n: int) -> float:
    ranked = np.take_along_axis(gold, proxy.argsort(1), 1)
    N = ranked.shape[1]
    weights = [math.comb(i, n - 1) / math.comb(N, n) for i in range(N)]
    return float((ranked @ np.array(weights)).mean())


def _population(seed: int, P: int, N: int) -> tuple[Array, Array]:
    """Gold that follows a proxy up to a point, differently from prompt to prompt."""
    rng = np.random.default_rng(seed)
    level, slope = 0.6 * rng.normal(size=(P, 1)), 0.3 + 0.3 * rng.normal(size=(P, 1))
    proxy = rng.normal(size=(P, N))
    gold = level + slope * proxy - 0.15 * np.maximum(proxy, 0.0) ** 2
    return proxy, gold + 0.7 * rng.normal(size=(P, N))


def _held(fits: list[Fit], truth: dict[str, float]) -> dict[str, float]:
    """How often each figure's interval holds the truth."""
    return {
        name: float(np.mean([getattr(f, name).low <= true <= getattr(f, name).high for f in fits]))
        for name, true in truth.items()
    }


def test_intervals_of_the_best_of_n_hold_the_truth() -> None:
    many = fit_best_of_n(*_population(99, 40000, 12), resamples=1)
    assert many is not None
    truth = {name: getattr(many, name).mean for name in FIGURES}
    fits = [
        fit_best_of_n(*_population(seed, 60, 12), resamples=200, seed=seed) for seed in range(120)
    ]
    held = _held([fit for fit in fits if fit is not None], truth)
    assert all(0.89 <= share <= 0.99 for share in held.values()), held


@pytest.mark.parametrize(
    ("rounds", "rho", "least"), [(15, 0.0, 0.89), (60, 0.0, 0.91), (60, 0.6, 0.89)]
)
def test_intervals_of_rl_hold_the_truth(rounds: int, rho: float, least: float) -> None:
    """Noise of each round partly that of the round before, as a policy's luck is."""
    d, a, b = 5.0 * np.sqrt(np.linspace(0.0, 1.0, rounds)), 0.6, 0.6
    rng = np.random.default_rng(rounds)
    fits = []
    for seed in range(120):
        noise = rng.normal(size=rounds)
        for t in range(1, rounds):
            noise[t] = rho * noise[t - 1] + math.sqrt(1 - rho**2) * noise[t]
        gold = 0.3 + rl(d, a, b) + 0.12 * noise
        start = 0.3 + 0.05 * rng.normal()
        known: dict[str, float] = {"start": start, "error": 0.05, "scale": 1.0}
        fits.append(fit_rl(d, gold, **known, resamples=200, seed=seed))  # type: ignore[arg-type]
    truth = {"a": a, "b": b, "distance": 1.0, "best": 0.6, "end": 5 * (a - b * math.log(5))}
    held = _held([fit for fit in fits if fit is not None], truth)
    assert all(least <= share <= 0.995 for share in held.values()), held


def test_the_same_seed_gives_the_same_intervals() -> None:
    proxy, gold = _population(3, 30, 8)
    assert fit_best_of_n(proxy, gold, seed=4) == fit_best_of_n(proxy, gold, seed=4)
    d = np.linspace(0.0, 2.0, 20)
    noisy = d + np.random.default_rng(0).normal(size=20)
    first, again, other = (fit_rl(d, noisy, start=0.0, scale=1.0, seed=s) for s in (4, 4, 5))
    assert first == again
    assert first != other


def test_a_start_that_is_not_sure_makes_the_fit_less_sure() -> None:
    d = np.linspace(0.0, 2.0, 20)
    gold = rl(d, 0.9, 0.6) + 0.1 * np.random.default_rng(0).normal(size=20)
    sure, unsure = (fit_rl(d, gold, start=0.0, scale=1.0, error=e) for e in (0.0, 0.2))
    assert sure is not None
    assert unsure is not None
    assert unsure.a.mean == sure.a.mean
    assert unsure.a.high - unsure.a.low > 1.2 * (sure.a.high - sure.a.low)
