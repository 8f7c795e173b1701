"""Intervals of Bradley-Terry ratings by the bootstrap, beside those of the sandwich.

The likelihood of a resample depends on its votes only through how often each two met and what the
first one scored, so a resample is a row of totals, and all resamples are fitted at once.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.special import expit

from heed.stats.bootstrap import RESAMPLES, Array, gather, resampled
from heed.stats.intervals import Estimate
from heed.stats.ratings import SCALE, START

ITERATIONS = 50
LEAP = 2.0
"""No rating moves further in one step, in logits."""
SETTLED = 1e-7
CELLS = 4_000_000
MOST_UNDETERMINED = 0.05
"""Above this share of resamples without finite ratings a bound is not known."""


def bootstrap_ratings(
    left: Sequence[str],
    right: Sequence[str],
    scores: ArrayLike,
    *,
    clusters: Sequence[Hashable] | None = None,
    ridge: float = 0.0,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Estimate]:
    """Percentile intervals (Efron 1979) of the ratings of `ratings.bradley_terry`, clusters of
    votes being resampled; mean 1000, on the Elo scale. `n` counts a contestant's votes.

    A resample in which somebody won or lost every vote has no finite ratings. Such ones are left
    out; where they are more than one in twenty, the bounds are nan.

    Args:
        left: the left one of each vote.
        right: the right one.
        scores: the left one's score in [0, 1].
        clusters: what each vote belongs to; by default every vote stands alone.
        ridge: adds ridge / 2 * |theta|^2, as in `bradley_terry`.
        resamples: how many.
        seed: of the resampling.
        level: the coverage wanted.

    Raises:
        ValueError: the lengths differ, or the votes themselves have no finite ratings.
    """
    y = np.asarray(scores, dtype=np.float64)
    if not len(left) == len(right) == len(y):
        raise ValueError(f"{len(left)} left, {len(right)} right, {len(y)} scores")
    names, sides, parts, design = _totals(left, right, y)
    if clusters is not None:
        parts = gather(clusters, len(y)) @ parts
    whole = np.asarray(parts.sum(axis=0), dtype=np.float64).reshape(1, -1)
    rating, settled = _fitted(whole, design, ridge)
    if not settled[0]:
        raise ValueError("the votes do not determine the ratings: set a ridge")
    draws = [
        _fitted(totals, design, ridge)
        for chunk in resampled(parts, resamples, np.random.default_rng(seed))
        for totals in np.array_split(chunk, 1 + len(chunk) * len(names) ** 2 // CELLS)
    ]
    votes = np.bincount(sides.ravel(), minlength=len(names)).tolist()
    low, high = _bounds(draws, len(names), level)
    return {
        name: Estimate(float(rating[0, i]), float(low[i]), float(high[i]), votes[i])
        for i, name in enumerate(names)
    }


def _totals(
    left: Sequence[str], right: Sequence[str], y: Array
) -> tuple[list[str], NDArray[np.int64], sparse.csr_array, Array]:
    """Names, each vote's two by number, what it adds to the totals (that each two met, and what the
    first of them scored), and the design: +1 and -1, a row each two.
    """
    names = list(dict.fromkeys([*left, *right]))
    at = {name: index for index, name in enumerate(names)}
    sides = np.array([[at[a], at[b]] for a, b in zip(left, right, strict=True)])
    pairs, pair = np.unique(np.sort(sides, axis=1), axis=0, return_inverse=True)
    first = np.where(sides[:, 0] == pairs[pair, 0], y, 1 - y)
    met = sparse.csr_array((np.ones(len(y)), (np.arange(len(y)), pair)), (len(y), len(pairs)))
    parts = sparse.csr_array(sparse.hstack([met, met * first[:, None]]))
    design = np.zeros((len(pairs), len(names)))
    design[np.arange(len(pairs)), pairs[:, 0]] = 1
    design[np.arange(len(pairs)), pairs[:, 1]] -= 1
    return names, sides, parts, design


def _bounds(draws: list[tuple[Array, Array]], names: int, level: float) -> tuple[Array, Array]:
    settled = np.concatenate([done for _, done in draws]) if draws else np.zeros(0)
    if len(settled) < 2 or np.mean(settled) < 1 - MOST_UNDETERMINED:
        unknown = np.full(names, math.nan)
        return unknown, unknown
    ratings = np.concatenate([rating for rating, _ in draws])[settled.astype(bool)]
    low, high = np.quantile(ratings, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def _fitted(totals: Array, design: Array, ridge: float) -> tuple[Array, Array]:
    """The ratings of each row of totals, and whether they are finite, by Newton's method."""
    met, won = np.split(totals, 2, axis=1)
    many, names = len(totals), design.shape[1]
    theta = np.zeros((many, names))
    together = np.ones((names, names)) / names  # that all shift together changes nothing
    settled = np.zeros(many, dtype=bool)
    for _ in range(ITERATIONS):
        going = ~settled
        p = expit(theta[going] @ design.T)
        gradient = (won[going] - met[going] * p) @ design - ridge * theta[going]
        spread = met[going] * p * (1 - p)
        hessian = np.einsum("bk,ki,kj->bij", spread, design, design, optimize=True)
        hessian += (ridge + 1e-12) * np.eye(names) + together * spread.sum(axis=1)[:, None, None]
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        theta[going] += step * np.minimum(1, LEAP / np.abs(step).max(axis=1, initial=LEAP))[:, None]
        settled[going] = np.abs(step).max(axis=1) < SETTLED
        if settled.all():
            break
    return START + SCALE * (theta - theta.mean(axis=1, keepdims=True)), settled
