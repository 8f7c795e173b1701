"""How gold rises and falls as a proxy is optimised: Gao et al.'s two forms, fitted with intervals.

With d = sqrt(KL(policy || start)), R the gain in gold over the start:

    best of n   R(d) = d (a - b d)        peak at d = a / (2b)
    RL          R(d) = d (a - b log d)    peak at d = exp(a / b - 1)

(Gao, Schulman & Hilton 2022, arXiv:2210.10760, section 3.1.) Both are linear in a and b, so that
weighted least squares fits them. Gains are in standard deviations of gold over the start's answers.

Best of n: curves at all n come from the same answers, so whole prompts are resampled, and the
standard deviation with them. n has weight 1/n, which gives every equal step of log n equal weight.
RL: one training is one series, and its rounds are not independent: what a round learnt by chance
stays with the next. Coefficients are drawn around the fit with the covariance that first-order
autocorrelated residuals give them. (Blocks of 15 to 60 rounds are too few to be resampled: such
intervals held the truth in 65 to 93% of simulations in place of 95%.) The start's gold, which gains
are counted from, was measured and has an error of its own. It is not fitted: where a form fits
badly, a free level at d = 0 would move to hide it. Another training's chance is not covered.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from heed.stats.best_of_n import best_of_n, kl_bound
from heed.stats.intervals import Estimate

Array = NDArray[np.float64]
Form = Literal["best_of_n", "rl"]
RESAMPLES = 1000
LEAST_ROUNDS = 8
"""Rounds of a training below which no form is fitted."""
_CORRELATIONS = np.linspace(0.0, 0.95, 20)


@dataclass(frozen=True, slots=True)
class Fit:
    """A form fitted to a curve. Distances are in sqrt(nats), gains in standard deviations."""

    form: Form
    a: Estimate
    b: Estimate
    distance: Estimate
    """Of the peak; infinite where the fit has none."""
    best: Estimate
    """The highest gain of the fit at the distances that were seen."""
    end: Estimate
    """Its gain at the farthest of them ..."""
    lost: Estimate
    """... and how far below the highest that is; 0 where the peak was not passed."""
    farthest: float
    start: float
    """Mean gold at distance 0, in its own units."""
    scale: float
    """Gold's standard deviation over the start's answers."""
    r2: float
    """Share of the curve's (weighted) variance that the fit explains."""
    error: float
    """Root of the (weighted) mean squared residual."""

    def gain(self, distance: Array) -> Array:
        """The fitted gain at these distances."""
        fitted: Array = basis(distance, self.form) @ np.array([self.a.mean, self.b.mean])
        return fitted


def basis(distance: Array, form: Form) -> Array:
    """The two columns that a and b multiply, [len(distance), 2]."""
    return np.stack([distance, -_BENDS[form](distance)], axis=-1)


def _d_log_d(d: Array) -> Array:
    logs = np.log(np.where(d > 0, d, 1.0))
    product: Array = d * logs
    return product


_BENDS: Mapping[Form, Callable[[Array], Array]] = {"best_of_n": np.square, "rl": _d_log_d}


def peaks(a: Array, b: Array, form: Form) -> Array:
    """Where d(a - b d) or d(a - b log d) is highest over d >= 0; infinite where b <= 0."""
    bends = b > 0
    ratio = np.divide(a, b, out=np.zeros_like(a, dtype=np.float64), where=bends)
    with np.errstate(over="ignore"):  # a peak beyond all numbers is as good as none
        found = np.maximum(0.0, ratio / 2) if form == "best_of_n" else np.exp(ratio - 1)
    where: Array = np.where(bends, found, math.inf)
    return where


def fit_best_of_n(
    proxy: Array, gold: Array, *, resamples: int = RESAMPLES, seed: int = 0
) -> Fit | None:
    """The form for best of n, of N answers to each of P prompts ([P, N] both).

    None where it cannot be told: fewer than 4 answers a prompt, or all of one gold value.
    """
    P, N = gold.shape
    if N < 4 or not np.ptp(gold) > 0:
        return None
    curves = best_of_n(proxy, gold)
    distance = np.sqrt([kl_bound(n) for n in range(1, N + 1)])
    solve, weights = _solver(basis(distance, "best_of_n"), 1.0 / np.arange(1, N + 1))
    rng = np.random.default_rng(seed)
    times = rng.multinomial(P, np.full(P, 1 / P), size=resamples) / P
    times = np.concatenate([np.full((1, P), 1 / P), times])  # the first row: as they are
    scales = np.sqrt(times @ (gold**2).mean(1) - (times @ gold.mean(1)) ** 2)
    scales[~(scales > 0)] = math.nan
    gains = (times @ (curves - curves[:, :1])) / scales[:, None]
    known = [float(gold.mean()), float(scales[0])]
    return _fit("best_of_n", distance, weights, gains[0], gains @ solve.T, known)


def fit_rl(
    distance: Array,
    gold: Array,
    *,
    start: float,
    scale: float,
    error: float = 0.0,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Fit | None:
    """The form for RL, of a training's rounds in their order.

    Args:
        distance: sqrt(KL) of each round's policy.
        gold: mean gold of each round's answers.
        start: the start's mean gold on the same prompts.
        scale: gold's standard deviation over the start's answers.
        error: the standard error of `start`.
        resamples: how many; at least 1.
        seed: of the resampling.

    Returns:
        None where it cannot be told: fewer than 8 rounds, or of one distance, or no scale.
    """
    T = len(distance)
    columns = basis(distance, "rl")
    if T < LEAST_ROUNDS or not scale > 0 or np.linalg.matrix_rank(columns) < 2:
        return None
    gains = (gold - start) / scale
    solve, weights = _solver(columns, np.ones(T))
    coefficients = solve @ gains
    covariance, freedom = _uncertainty(columns, solve, gains - columns @ coefficients)
    rng = np.random.default_rng(seed)
    normal = rng.multivariate_normal(np.zeros(2), covariance, size=resamples, method="eigh")
    spread = np.sqrt(freedom / rng.chisquare(freedom, size=resamples))
    level = rng.normal(size=resamples) * error / scale
    again = coefficients + normal * spread[:, None] - np.outer(level, solve.sum(1))
    draws = np.concatenate([coefficients[None], again])
    return _fit("rl", distance, weights, gains, draws, [start, scale])


def _uncertainty(columns: Array, solve: Array, residuals: Array) -> tuple[Array, float]:
    """The coefficients' covariance under first-order autocorrelated residuals, and its degrees of
    freedom (Satterthwaite 1946).

    A fit takes away some of the residuals' correlation and size: with M = I - H and L the lag,
    E[e' L e] / E[e' e] = tr(M W M L) / tr(M W) at errors of correlation W, which is solved for
    their autocorrelation; a negative one counts as none.
    """
    T = len(residuals)
    apart = np.abs(np.subtract.outer(np.arange(T), np.arange(T)))
    left = np.eye(T) - columns @ solve
    wide = [left @ rho**apart @ left for rho in _CORRELATIONS]
    expected = [np.trace(each, 1) / np.trace(each) for each in wide]
    squares = float(residuals @ residuals)
    seen = float(residuals[1:] @ residuals[:-1]) / squares if squares > 0 else 0.0
    rho = float(np.interp(seen, expected, _CORRELATIONS))
    shape = left @ rho**apart @ left
    variance = squares / float(np.trace(shape))
    freedom = float(np.trace(shape)) ** 2 / float((shape**2).sum())
    covariance: Array = variance * solve @ rho**apart @ solve.T
    return covariance, freedom


def _solver(columns: Array, weights: Array) -> tuple[Array, Array]:
    """The matrix that maps a curve to its least-squares coefficients, and weights that sum to 1."""
    weights = weights / weights.sum()
    root = np.sqrt(weights)
    solve = np.asarray(np.linalg.pinv(columns * root[:, None]) * root, dtype=np.float64)
    return solve, weights


def _fit(
    form: Form, distance: Array, weights: Array, gains: Array, draws: Array, known: Sequence[float]
) -> Fit:
    """From the coefficients as they are (first row) and of every resample."""
    a, b = draws.T
    farthest = float(distance.max())
    at = peaks(a, b, form)
    ends = basis(np.array([farthest]), form)[0] @ draws.T
    inside = np.minimum(at, farthest)
    reached = (basis(inside, form) * draws).sum(1)
    best = np.maximum(np.maximum(reached, ends), 0.0)
    residuals = gains - basis(distance, form) @ draws[0]
    squares = float(weights @ residuals**2)
    variance = float(weights @ (gains - weights @ gains) ** 2)
    start, scale = known
    return Fit(
        form, _estimate(a), _estimate(b), _estimate(at), _estimate(best), _estimate(ends),
        _estimate(best - ends), farthest, start, scale,
        1 - squares / variance if variance > 0 else math.nan, math.sqrt(squares),
    )  # fmt: skip


def _estimate(draws: Array, level: float = 0.95) -> Estimate:
    """The first of the draws between the quantiles of the others; infinite ones are among them."""
    others = draws[1:][~np.isnan(draws[1:])]
    low, high = (
        np.quantile(others, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
        if len(others)
        else (math.nan, math.nan)
    )
    return Estimate(float(draws[0]), float(low), float(high), len(others))
