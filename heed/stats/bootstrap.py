"""Percentile bootstrap of figures that are functions of sums over items.

Agreement coefficients all are: each item adds its counts, and the coefficient is a function of the
totals. So a resample of the items is one row of multiplicities times a matrix, and a thousand
resamples of thousands of items take well under a second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from heed.stats.intervals import Estimate

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]
"""From totals, one row a resample, to the figure of each row; nan where it is not defined."""

RESAMPLES = 1000
CELLS = 4_000_000
"""Numbers held at a time: resamples are drawn in chunks of so many cells."""


def bootstrap_interval(
    parts: sparse.csr_array,
    statistic: Statistic,
    *,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """The figure of all items with its percentile interval (Efron 1979), items being resampled.

    Resamples in which the figure is not defined (all answers alike) are left out of the interval.
    With fewer than two clusters the bounds are nan. `n` counts the rows of `parts`.

    Args:
        parts: what each item adds to the totals, items by totals.
        statistic: the figure as a function of the totals.
        clusters: what the rows belong to, where one item has several rows; clusters are resampled.
        resamples: how many; 0 for the figure alone.
        seed: of the resampling.
        level: the coverage wanted.
    """
    count = parts.shape[0]
    if clusters is not None:
        parts = gather(clusters, count) @ parts
    mean = float(statistic(np.asarray(parts.sum(axis=0), dtype=np.float64).reshape(1, -1))[0])
    groups = parts.shape[0]
    if groups < 2 or resamples == 0:
        return Estimate(mean, math.nan, math.nan, count)
    draws = np.concatenate(
        [statistic(totals) for totals in resampled(parts, resamples, np.random.default_rng(seed))]
    )
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return Estimate(mean, math.nan, math.nan, count)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(mean, float(low), float(high), count)


def gather(clusters: Sequence[Hashable], count: int) -> sparse.csr_array:
    """Clusters by rows, 1 where the row belongs to the cluster."""
    if len(clusters) != count:
        raise ValueError(f"{count} items, but {len(clusters)} clusters")
    numbers: dict[Hashable, int] = {}
    index = [numbers.setdefault(name, len(numbers)) for name in clusters]
    return sparse.csr_array(
        (np.ones(count), (index, np.arange(count))), shape=(len(numbers), count)
    )


def resampled(parts: sparse.csr_array, resamples: int, rng: np.random.Generator) -> list[Array]:
    """The totals of each resample, in chunks of rows."""
    groups, width = parts.shape
    chunk = max(1, CELLS // max(groups, width))
    transposed = parts.T.tocsr()
    chunks = []
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        drawn = rng.integers(groups, size=(rows, groups)) + groups * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * groups).reshape(rows, groups)
        chunks.append(np.asarray((transposed @ times.T.astype(np.float64)).T))
    return chunks
