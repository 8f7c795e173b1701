"""Whether a stated confidence is borne out: bins of equal mass, expected error, Brier's score."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heed.stats.intervals import Clusters, Estimate, mean_interval, proportion_interval

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Cases of about the same confidence: its mean, and how many of them are right."""

    confidence: float
    right: Estimate


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far confidence and being right lie apart, over all cases and bin by bin."""

    error: Estimate
    """Expected calibration error."""
    brier: Estimate
    excess: Estimate
    """Mean confidence less the share that is right: above 0 is overconfident."""
    bins: tuple[Bin, ...]


def calibration(
    confidence: Sequence[float],
    right: Sequence[bool],
    clusters: Clusters | None = None,
    bins: int = BINS,
) -> Calibration:
    """Expected calibration error, Brier's score and the bins of a reliability diagram.

    With y = 1 where a case is right, else 0, and bins of (as nearly as ties allow) equal mass,

        ECE = sum_b (n_b / n) |mean_b(confidence) - mean_b(y)|    (Naeini et al. 2015; adaptive
        Brier = mean((confidence - y)^2)                           bins: Nguyen & O'Connor 2015).

    With the sign s_b of each bin's difference, ECE is the mean of s_b (confidence - y); its
    interval is the clustered one of that mean, bins and signs as found, cut at 0. ECE is never
    below 0: of a calibrated forecaster noise makes it about sqrt(2 p (1 - p) / (pi n_b)) a bin, so
    that a small one shows nothing. `excess` has no such bias.

    Raises:
        ValueError: the lengths differ, or a confidence is outside [0, 1].
    """
    c, y = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if len(c) != len(y):
        raise ValueError(f"{len(c)} confidences, but {len(y)} cases")
    if not ((c >= 0) & (c <= 1)).all():
        raise ValueError("a confidence is 0..1")
    owners: Sequence[Hashable] = list(range(len(c))) if clusters is None else clusters
    places = _bins(c, bins)
    signs, found = np.zeros(len(c)), []
    for place in np.unique(places):
        inside = places == place
        signs[inside] = np.sign(c[inside].mean() - y[inside].mean())
        own = [owner for owner, take in zip(owners, inside, strict=True) if take]
        found.append(Bin(float(c[inside].mean()), proportion_interval(y[inside], own)))
    error = mean_interval(signs * (c - y), owners)
    return Calibration(
        error=Estimate(error.mean, max(0.0, error.low), error.high, error.n)
        if math.isfinite(error.low)
        else error,
        brier=mean_interval((c - y) ** 2, owners),
        excess=mean_interval(c - y, owners),
        bins=tuple(found),
    )


def _bins(values: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """The bin of each value, from the lowest; equal values stand in one."""
    if not len(values):
        return np.zeros(0, dtype=np.int64)
    edges = np.unique(np.quantile(values, np.arange(1, bins) / bins, method="higher"))
    places: NDArray[np.int64] = np.searchsorted(edges, values, side="right").astype(np.int64)
    return places
