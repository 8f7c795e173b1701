"""Means and differences with their 95% intervals.

Several samples of one prompt are not independent, so every interval here can be told which prompt
each value belongs to: the cluster is the unit that was drawn, and the interval is as wide as the
number of prompts deserves, not the number of samples.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Values = Sequence[float] | NDArray[np.float64]
Clusters = Sequence[Hashable]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure, its interval and how many values it rests on.

    A bound is nan where the data cannot tell (fewer than two clusters), the mean is nan where
    there are no data.
    """

    mean: float
    low: float
    high: float
    n: int

    def to_json(self) -> dict[str, float | int | None]:
        """The figures as JSON knows them: what is not known is null."""
        return {
            "mean": _finite(self.mean),
            "low": _finite(self.low),
            "high": _finite(self.high),
            "n": self.n,
        }


def mean_interval(
    values: Values, clusters: Clusters | None = None, level: float = 0.95
) -> Estimate:
    """The mean with its cluster-robust interval.

    With e_i = y_i - mean and E_g its sum over cluster g, the sandwich variance of the mean is
    G/(G-1) * sum_g E_g^2 / n^2 (Liang & Zeger 1986, small-sample factor), and the quantile is
    Student's with G - 1 degrees of freedom. Without clusters every value is its own: the plain t
    interval.

    Args:
        values: n numbers.
        clusters: the cluster (prompt id) of each value.
        level: the coverage wanted.

    Raises:
        ValueError: values and clusters differ in length.
    """
    y = np.asarray(values, dtype=np.float64)
    if len(y) == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    error, dof = standard_error(y, clusters)
    return _around(float(y.mean()), error, dof, len(y), level)


def proportion_interval(
    values: Values, clusters: Clusters | None = None, level: float = 0.95
) -> Estimate:
    """The share of ones with Wilson's interval (1927), which never leaves [0, 1].

    It stays honest where every value is 0 (or 1): "none of 20" still allows a few in a hundred.
    With clusters, n becomes the effective sample size p(1-p) / (cluster-robust variance), at most
    n, and z Student's quantile (Korn & Graubard 1998); a share of exactly 0 or 1 shows no
    variance, there the number of clusters stands in for it.

    Raises:
        ValueError: a value is neither 0 nor 1, or the lengths differ.
    """
    y = np.asarray(values, dtype=np.float64)
    if not np.isin(y, (0.0, 1.0)).all():
        raise ValueError("a proportion is taken of zeros and ones")
    if len(y) == 0:
        return Estimate(math.nan, math.nan, math.nan, 0)
    p = float(y.mean())
    n, z = float(len(y)), float(stats.norm.ppf((1 + level) / 2))
    if clusters is not None:
        error, dof = standard_error(y, clusters)
        if dof < 1:
            return Estimate(p, math.nan, math.nan, len(y))
        n = min(n, p * (1 - p) / error**2) if error > 0 else float(dof + 1)
        z = float(stats.t.ppf((1 + level) / 2, dof))
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    # Rounding must not leave the mean outside its own interval at p = 0 or 1.
    return Estimate(p, min(p, max(0.0, centre - half)), max(p, min(1.0, centre + half)), len(y))


def difference_interval(
    a: Values,
    b: Values,
    clusters_a: Clusters | None = None,
    clusters_b: Clusters | None = None,
    level: float = 0.95,
) -> Estimate:
    """mean(a) - mean(b) with its interval; the gap is shown where the interval excludes 0.

    Where both sides answer the same clusters the difference is paired: the t interval of the
    differences of per-cluster means, every cluster of equal weight, n = the clusters. Otherwise
    the sides are independent: Welch's interval (1947) on cluster-robust standard errors, n = the
    values of both.

    Raises:
        ValueError: a side's values and clusters differ in length.
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if clusters_a is not None and clusters_b is not None and set(clusters_a) == set(clusters_b):
        means_a, means_b = _cluster_means(x, clusters_a), _cluster_means(y, clusters_b)
        return mean_interval([means_a[name] - means_b[name] for name in means_a], level=level)
    if len(x) == 0 or len(y) == 0:
        return Estimate(math.nan, math.nan, math.nan, len(x) + len(y))
    error_a, dof_a = standard_error(x, clusters_a)
    error_b, dof_b = standard_error(y, clusters_b)
    error = math.hypot(error_a, error_b)
    dof = float(min(dof_a, dof_b))
    if error > 0 and dof >= 1:  # Welch and Satterthwaite's degrees of freedom
        dof = error**4 / (error_a**4 / dof_a + error_b**4 / dof_b)
    return _around(float(x.mean() - y.mean()), error, dof, len(x) + len(y), level)


def ratio_interval(
    a: Values, b: Values, clusters: Clusters | None = None, level: float = 0.95
) -> Estimate:
    """mean(a) / mean(b) of values that belong together in pairs, with its interval.

    The delta method: the ratio's error is that of the mean of (a - ratio * b) / mean(b).

    Raises:
        ValueError: the lengths differ, or b's mean is 0.
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if len(x) != len(y) or y.mean() == 0:
        raise ValueError("a ratio needs pairs of values and a denominator that is not 0")
    ratio = x.mean() / y.mean()
    return mean_interval(ratio + (x - ratio * y) / y.mean(), clusters, level)


def standard_error(y: NDArray[np.float64], clusters: Clusters | None = None) -> tuple[float, int]:
    """The cluster-robust standard error of the mean (see `mean_interval`), and G - 1."""
    index = _indices(len(y), clusters)
    sums = np.bincount(index, weights=y - y.mean())
    G = len(sums)
    if G < 2:
        return math.nan, 0
    return math.sqrt(G / (G - 1) * float(sums @ sums)) / len(y), G - 1


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _around(mean: float, error: float, dof: float, n: int, level: float) -> Estimate:
    if dof < 1:
        return Estimate(mean, math.nan, math.nan, n)
    half = float(stats.t.ppf((1 + level) / 2, dof)) * error
    return Estimate(mean, mean - half, mean + half, n)


def _indices(n: int, clusters: Clusters | None) -> NDArray[np.int64]:
    """Each value's cluster as a number, 0, 1, ... in order of appearance."""
    if clusters is None:
        return np.arange(n)
    if len(clusters) != n:
        raise ValueError(f"{n} values, but {len(clusters)} clusters")
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in clusters], dtype=np.int64)


def _cluster_means(y: NDArray[np.float64], clusters: Clusters) -> dict[Hashable, float]:
    index = _indices(len(y), clusters)
    means = np.bincount(index, weights=y) / np.bincount(index)
    return dict(zip(dict.fromkeys(clusters), means.tolist(), strict=True))
