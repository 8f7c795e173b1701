"""Ratings of models from votes between two of them: Bradley-Terry with honest errors, and Elo.

A vote is the left model, the right model and the left one's score: 1 won, 0 lost, 0.5 a tie.
Ratings are on the Elo scale, where 400 points are odds of ten to one.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse, stats
from scipy.sparse.csgraph import connected_components
from scipy.special import expit

from heed.stats.bootstrap import Array

SCALE = 400 / math.log(10)
START = 1000.0
ITERATIONS = 100
Errors = Literal["sandwich", "fisher"]


@dataclass(frozen=True)
class Rating:
    """A model's rating, standard error and interval; `rank` is 1 + the models surely above it."""

    name: str
    rating: float
    error: float
    low: float
    high: float
    rank: int


@dataclass(frozen=True)
class _Votes:
    """Votes as numbers: sparse design of +1 left, -1 right."""

    names: tuple[str, ...]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    score: Array
    weight: Array
    design: sparse.csr_array


def bradley_terry(
    left: Sequence[str],
    right: Sequence[str],
    scores: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    clusters: Sequence[Hashable] | None = None,
    errors: Errors = "sandwich",
    ridge: float = 0.0,
    level: float = 0.95,
) -> list[Rating]:
    """Bradley and Terry's model (1952) by maximum likelihood, mean 1000, the best model first.

    P(left wins) = sigmoid(theta_left - theta_right); a tie is half a win of each. The Fisher error
    believes the model, and takes a tie for as uncertain as a win. The sandwich H^-1 S H^-1 (White
    1982) with S = sum_g s_g s_g' believes the data; with clusters, s_g sums the scores of all
    votes of one item (or worker, or prompt), which are not independent (Liang & Zeger 1986). The
    interval of G clusters takes G / (G - 1) times that variance and Student's t with G - 1 degrees
    of freedom, since few clusters show too little of how much they differ.

    Args:
        left: the left model of each vote.
        right: the right one.
        scores: the left one's score in [0, 1].
        weights: of the votes, such as their annotators' reliability; 0 leaves a vote out.
        clusters: what each vote belongs to; by default every vote stands alone.
        errors: "sandwich" or "fisher".
        ridge: adds ridge / 2 * |theta|^2, which keeps ratings finite whatever the votes.
        level: coverage of the intervals.

    Raises:
        ValueError: the lengths differ, a score or weight is out of range, a model meets itself, or
            without a ridge the votes do not determine the ratings: models in parts that never met,
            or some that never lost to the others, whose rating would be infinite. Or weights so far
            apart that no maximum is found. Or there is one cluster, which shows no spread.
    """
    votes = _votes(left, right, scores, weights)
    if not votes.names:
        raise ValueError("there are no votes to rate by")
    if ridge <= 0:
        _check_determined(votes)
    theta, hessian = _fit(votes, ridge)
    meat, groups = _meat(votes, theta, clusters) if errors == "sandwich" else (hessian, None)
    error = _errors(_centred_inverse(hessian), meat)
    rating = START + SCALE * (theta - theta.mean())
    half = _half_width(level, groups) * error
    low, high = rating - half, rating + half
    places = ranks(low, high)
    return [
        Rating(
            votes.names[i], float(rating[i]), float(error[i]), float(low[i]), float(high[i]),
            places[i],
        )
        for i in np.argsort(-rating.round(6), kind="stable").tolist()  # equals by name
    ]  # fmt: skip


def ranks(low: ArrayLike, high: ArrayLike) -> list[int]:
    """1 + the number of models whose lower bound is above one's upper bound (Chatbot Arena)."""
    lower, upper = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    above: list[int] = (lower[None, :] > upper[:, None]).sum(axis=1).tolist()
    return [1 + count for count in above]


def elo_update(
    left: float, right: float, score: float, *, k: float = 4.0, base: float = 10.0,
    scale: float = 400.0,
) -> tuple[float, float]:  # fmt: skip
    """Both ratings after one vote: left gains k * (score - expected), right loses it (Elo 1978)."""
    gain = k * (score - 1 / (1 + base ** ((right - left) / scale)))
    return left + gain, right - gain


def elo(
    left: Sequence[str],
    right: Sequence[str],
    scores: Sequence[float],
    *,
    k: float = 4.0,
    base: float = 10.0,
    scale: float = 400.0,
    start: float = START,
) -> dict[str, float]:
    """Elo ratings after all votes in their order, for a live board; `bradley_terry` for results.

    Raises:
        ValueError: the lengths differ.
    """
    ratings: dict[str, float] = {}
    for a, b, score in zip(left, right, scores, strict=True):
        ratings[a], ratings[b] = elo_update(
            ratings.get(a, start), ratings.get(b, start), score, k=k, base=base, scale=scale
        )
    return ratings


def _votes(
    left: Sequence[str], right: Sequence[str], scores: ArrayLike, weights: ArrayLike | None
) -> _Votes:
    score = np.asarray(scores, dtype=np.float64)
    weight = np.ones(len(score)) if weights is None else np.asarray(weights, dtype=np.float64)
    if not len(left) == len(right) == len(score) == len(weight):
        raise ValueError(
            f"{len(left)} left models, {len(right)} right ones, {len(score)} scores, "
            f"{len(weight)} weights"
        )
    # Written so that nan is refused too.
    if not ((score >= 0) & (score <= 1)).all() or not ((weight >= 0) & (weight < np.inf)).all():
        raise ValueError("scores are 0..1 and weights finite, 0 or more")
    if any(a == b for a, b in zip(left, right, strict=True)):
        raise ValueError("a vote compares a model with itself")
    place = {name: index for index, name in enumerate(sorted({*left, *right}))}
    a = np.array([place[name] for name in left], dtype=np.int64)
    b = np.array([place[name] for name in right], dtype=np.int64)
    n = np.arange(len(score))
    signs = np.concatenate([np.ones(len(n)), -np.ones(len(n))])
    design = sparse.csr_array(
        (signs, (np.concatenate([n, n]), np.concatenate([a, b]))), shape=(len(n), len(place))
    )
    return _Votes(tuple(place), a, b, score, weight, design)


def _check_determined(votes: _Votes) -> None:
    """A maximum exists just where every model has beaten every other by some path (Ford 1957)."""
    won = votes.weight * votes.score
    lost = votes.weight * (1 - votes.score)
    m = len(votes.names)
    start = np.concatenate([votes.left[won > 0], votes.right[lost > 0]])
    end = np.concatenate([votes.right[won > 0], votes.left[lost > 0]])
    graph = sparse.csr_array((np.ones(len(start)), (start, end)), shape=(m, m))
    parts, part = connected_components(graph, connection="weak")
    if parts != 1:
        why = "these models never met the others"
    else:
        parts, part = connected_components(graph, connection="strong")
        why = "these only won, or only lost, against the others, so their distance is unbounded"
    if parts != 1:
        smallest = np.bincount(part).argmin()
        names = [name for name, index in zip(votes.names, part, strict=True) if index == smallest]
        listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise ValueError(
            f"the votes do not determine the ratings: {why}: {listed}. Collect votes that join "
            "them, leave them out, or set a ridge"
        )


def _fit(votes: _Votes, ridge: float) -> tuple[Array, Array]:
    """theta and the Hessian there, by Newton's method."""
    m = len(votes.names)
    theta = np.zeros(m)
    for _ in range(ITERATIONS):
        p = expit(votes.design @ theta)
        gradient = votes.design.T @ (votes.weight * (votes.score - p)) - ridge * theta
        spread = sparse.diags_array(votes.weight * p * (1 - p))
        hessian = (votes.design.T @ spread @ votes.design).toarray() + ridge * np.eye(m)
        step = _centred_inverse(hessian) @ gradient
        if gradient @ step < 1e-14:  # a ten-millionth of a standard error from the maximum
            return theta, hessian
        theta = theta + _shortened(votes, ridge, theta, step) * step
    raise ValueError(f"no ratings found in {ITERATIONS} steps: the weights are too far apart")


def _shortened(votes: _Votes, ridge: float, theta: Array, step: Array) -> float:
    """The share of Newton's step, halved until it leads upward: votes of very unlike weight make
    it leap over the maximum.
    """

    def likelihood(at: Array) -> float:
        x = votes.design @ at
        return float(votes.weight @ (votes.score * x - np.logaddexp(0, x)) - ridge / 2 * at @ at)

    share, here = 1.0, likelihood(theta)
    least = here - 1e-9 * abs(here)  # near the maximum rounding may look like a fall
    while share > 1e-9 and likelihood(theta + share * step) < least:
        share /= 2
    return share


def _centred_inverse(hessian: Array) -> Array:
    """The inverse among mean-centred ratings: that all shift together changes no vote's chance."""
    m = len(hessian)
    together = np.full((m, m), np.trace(hessian) / m**2)
    centring = np.eye(m) - 1 / m
    inverse: Array = centring @ np.linalg.inv(hessian + together) @ centring
    return inverse


def _errors(inverse: Array, meat: Array) -> Array:
    """Standard errors of ratings, by H^-1 S H^-1. Raises ValueError where they overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        variance = np.diag(inverse @ meat @ inverse)
    if not np.isfinite(variance).all():
        raise ValueError("no errors of the ratings found: the weights are too far apart")
    # Rounding may leave a variance of 0 (nothing but ties) a hair below it.
    error: Array = SCALE * np.sqrt(np.maximum(variance, 0.0))
    return error


def _half_width(level: float, groups: int | None) -> float:
    """Half an interval in standard errors, of votes that stand alone (None) or in clusters."""
    if groups is None:
        return float(stats.norm.ppf((1 + level) / 2))
    return math.sqrt(groups / (groups - 1)) * float(stats.t.ppf((1 + level) / 2, groups - 1))


def _meat(
    votes: _Votes, theta: Array, clusters: Sequence[Hashable] | None
) -> tuple[Array, int | None]:
    """Sum over clusters of the outer product of their summed scores, and how many they are.

    Clusters none of whose votes has a weight are not counted; None is every vote alone.
    """
    residual = votes.weight * (votes.score - expit(votes.design @ theta))
    scores, groups = sparse.diags_array(residual) @ votes.design, None
    if clusters is not None:
        if len(clusters) != len(residual):
            raise ValueError(f"{len(residual)} votes, but {len(clusters)} clusters")
        numbers: dict[Hashable, int] = {}
        index = np.array([numbers.setdefault(name, len(numbers)) for name in clusters])
        gather = sparse.csr_array((np.ones(len(index)), (index, np.arange(len(index)))))
        scores = gather @ scores
        groups = int((np.bincount(index, weights=votes.weight) > 0).sum())
        if groups < 2:
            raise ValueError("one cluster of votes says nothing of how much clusters differ")
    return np.asarray((scores.T @ scores).toarray()), groups
