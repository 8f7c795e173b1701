"""How far raters agree: Cohen, Fleiss, Krippendorff, and raw agreement, with intervals over items.

A table holds raters by items; nan is a missing value. Intervals are percentile bootstraps that
resample items (or `clusters` of them): who labelled an item stays together. A coefficient that
corrects for chance is nan where all answers are alike, for then there is nothing to correct by.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from math import isnan
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from heed.stats.bootstrap import RESAMPLES, Array, bootstrap_interval
from heed.stats.intervals import Estimate

Level = Literal["nominal", "ordinal", "interval", "ratio"]
Clusters = Sequence[Hashable]


def tabulate(
    items: Sequence[Hashable], raters: Sequence[Hashable], values: Sequence[float]
) -> Array:
    """The table of votes that come as a list; raters and items in order of appearance.

    Raises:
        ValueError: the lengths differ, or a rater has two votes on an item.
    """
    if not len(items) == len(raters) == len(values):
        raise ValueError(f"{len(items)} items, {len(raters)} raters, {len(values)} values")
    row = {name: index for index, name in enumerate(dict.fromkeys(raters))}
    column = {name: index for index, name in enumerate(dict.fromkeys(items))}
    table = np.full((len(row), len(column)), np.nan)
    for item, rater, value in zip(items, raters, values, strict=True):
        if not np.isnan(table[row[rater], column[item]]):
            raise ValueError(f"rater {rater!r} has two values for item {item!r}")
        table[row[rater], column[item]] = value
    return table


def cohen_kappa(
    first: Sequence[Any],
    second: Sequence[Any],
    weights: Literal["none", "quadratic"] = "none",
    *,
    clusters: Clusters | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Cohen's kappa (1960) of two raters, or his weighted kappa (1968) with quadratic weights.

    kappa = 1 - sum w o / sum w e with o the observed and e the expected shares of each two
    categories. Quadratic weights are squared distances between places in the sorted categories.

    Raises:
        ValueError: the raters differ in length, or a value is missing (None or nan): kappa is of
            the items that both answered.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} answers of one rater, {len(second)} of the other")
    if any(
        value is None or (isinstance(value, float) and isnan(value)) for value in [*first, *second]
    ):
        raise ValueError(
            "Cohen's kappa is of items that both raters answered; leave the others out"
        )
    categories, codes = np.unique(np.concatenate([first, second]), return_inverse=True)
    v, n = len(categories), len(first)
    cells = codes[:n] * v + codes[n:]
    parts = sparse.csr_array((np.ones(n), (np.arange(n), cells)), shape=(n, v * v))
    place = np.arange(v)
    apart = np.abs(place[:, None] - place)
    weight = {"none": np.minimum(apart, 1), "quadratic": apart**2}[weights]

    def kappa(totals: Array) -> Array:
        o = totals.reshape(len(totals), v, v)
        observed = (o * weight).sum(axis=(1, 2))
        expected = np.einsum("bi,bj,ij->b", o.sum(axis=2), o.sum(axis=1), weight)
        return 1 - _ratio(observed * o.sum(axis=(1, 2)), expected)

    return bootstrap_interval(parts, kappa, clusters=clusters, resamples=resamples, seed=seed)


def fleiss_kappa(
    table: ArrayLike,
    *,
    clusters: Clusters | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Fleiss' kappa (1971): every item with the same number of answers, whoever gave them.

    Raises:
        ValueError: the items differ in their number of answers, or have fewer than two.
    """
    counts, _ = _counts(table)
    sizes = np.unique(counts.sum(axis=1))
    if len(sizes) != 1 or sizes[0] < 2:
        raise ValueError(
            "Fleiss' kappa needs the same number of answers, two or more, for every item; these "
            f"have {', '.join(str(int(size)) for size in sizes) or 'none'}. Krippendorff's alpha "
            "takes any number"
        )
    m = sizes[0]
    alike = (counts * (counts - 1)).sum(axis=1) / (m * (m - 1))
    parts = sparse.csr_array(np.column_stack([alike, counts]))

    def kappa(totals: Array) -> Array:
        items = totals[:, 1:].sum(axis=1) / m
        share = totals[:, 1:] / (items * m)[:, None]
        by_chance = (share**2).sum(axis=1)
        return 1 - _ratio(1 - totals[:, 0] / items, 1 - by_chance)

    return bootstrap_interval(parts, kappa, clusters=clusters, resamples=resamples, seed=seed)


def krippendorff_alpha(
    table: ArrayLike,
    level: Level,
    *,
    clusters: Clusters | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Krippendorff's alpha (Content Analysis, 2018, ch. 12): 1 - observed / expected disagreement.

    Any number of raters, missing values, four levels of measurement. Items with fewer than two
    values say nothing of agreement and are left out; `n` counts the others.

    Args:
        table: raters by items, nan where a rater has no value; numbers also at nominal level.
        level: how values differ: "nominal" by being unequal, "ordinal" by what lies between them,
            "interval" by their difference, "ratio" by it in proportion to their sum.
        clusters: the item of each column, where one item has several.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    counts, values = _counts(table)
    paired = counts.sum(axis=1) >= 2
    parts = _coincidences(counts[paired])
    if clusters is not None:
        clusters = [name for name, kept in zip(clusters, paired, strict=True) if kept]
    v = len(values)

    def alpha(totals: Array) -> Array:
        o = totals.reshape(len(totals), v, v)
        n = o.sum(axis=2)
        delta = DISTANCES[level](values, n)
        observed = (o * delta).sum(axis=(1, 2))
        expected = np.einsum("bi,bj,bij->b", n, n, np.broadcast_to(delta, o.shape))
        return 1 - _ratio(observed * (n.sum(axis=1) - 1), expected)

    return bootstrap_interval(parts, alpha, clusters=clusters, resamples=resamples, seed=seed)


def pairwise_agreement(
    table: ArrayLike,
    *,
    tie: float | None = None,
    clusters: Clusters | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """How often two raters of one item say the same, over all such pairs of raters.

    Args:
        table: raters by items, nan where a rater has no value.
        tie: the value that stands for a tie; given, pairs with a tie in them are not counted.
        clusters: the item of each column, where one item has several.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    counts, values = _counts(table)
    if tie is not None:
        counts = counts[:, values != tie]
    size = counts.sum(axis=1)
    paired = size >= 2
    alike = (counts * (counts - 1)).sum(axis=1)[paired]
    parts = sparse.csr_array(np.column_stack([alike, (size * (size - 1))[paired]]))
    if clusters is not None:
        clusters = [name for name, kept in zip(clusters, paired, strict=True) if kept]
    return bootstrap_interval(
        parts,
        lambda totals: _ratio(totals[:, 0], totals[:, 1]),
        clusters=clusters,
        resamples=resamples,
        seed=seed,
    )


def _counts(table: ArrayLike) -> tuple[Array, Array]:
    """How many raters gave each item each value (items by values), and the sorted values."""
    votes = np.asarray(table, dtype=np.float64)
    if votes.ndim != 2:
        raise ValueError(f"a table has raters and items, this one has {votes.ndim} dimension(s)")
    given = ~np.isnan(votes)
    values, codes = np.unique(votes[given], return_inverse=True)
    items = np.nonzero(given)[1]
    counts = np.bincount(items * len(values) + codes, minlength=votes.shape[1] * len(values))
    return counts.reshape(votes.shape[1], len(values)).astype(np.float64), values


def _coincidences(counts: Array) -> sparse.csr_array:
    """Each item's coincidence matrix as a row: ordered pairs of values, over raters - 1."""
    items, v = counts.shape
    row, value = np.nonzero(counts)
    size = counts.sum(axis=1)
    starts = np.searchsorted(row, np.arange(items))
    width = np.bincount(row, minlength=items)
    # Every value of an item beside every value of the same item.
    first = np.repeat(np.arange(len(row)), width[row])
    step = np.arange(len(first)) - np.repeat(np.cumsum(width[row]) - width[row], width[row])
    second = starts[row[first]] + step
    a, b, item = value[first], value[second], row[first]
    pairs = counts[item, a] * (counts[item, b] - (a == b)) / (size[item] - 1)
    return sparse.csr_array((pairs, (item, a * v + b)), shape=(items, v * v))


def _ordinal(n: Array) -> Array:
    """The values between two, half of each end counted: the distance of their mid-ranks."""
    rank = np.cumsum(n, axis=1) - n / 2
    distance: Array = (rank[:, :, None] - rank[:, None, :]) ** 2
    return distance


def _ratio(a: NDArray[np.float64], b: NDArray[np.float64], empty: float = np.nan) -> Array:
    shape = np.broadcast(a, b).shape
    quotient: Array = np.divide(a, b, out=np.full(shape, empty), where=b != 0)
    return quotient


DISTANCES: dict[str, Callable[[Array, Array], Array]] = {
    "nominal": lambda values, _: (values[:, None] != values)[None].astype(np.float64),
    "ordinal": lambda _, n: _ordinal(n),
    "interval": lambda values, _: (values[:, None] - values)[None] ** 2,
    "ratio": lambda values, _: (
        _ratio(values[:, None] - values, values[:, None] + values, empty=0.0)[None] ** 2
    ),
}
"""Squared distance of two values, given all values and how often each occurs in a resample."""
