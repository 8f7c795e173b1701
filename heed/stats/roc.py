"""How well a number tells one kind of case from another: the area under the ROC curve."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from heed.stats.intervals import Clusters, Estimate, Values, standard_error


def auroc(
    scores: Values, positive: Sequence[bool], clusters: Clusters | None = None, level: float = 0.95
) -> Estimate:
    """The chance that a case that is positive scores above one that is not; a tie counts half.

    Mann and Whitney's statistic. Its error is DeLong et al.'s (1988) from the placements of each
    case among those of the other kind, summed over clusters as Obuchowski (1997, eqs. 6-8) does:
    cases of one cluster are not independent, whichever their kind. The interval is Student's on the
    logit of the area, which never leaves [0, 1]; it is unknown where all cases or none are told
    apart, or where fewer than two clusters hold them. The area is nan where one kind is missing.

    Args:
        scores: what should be high for positive cases.
        positive: which cases are.
        clusters: the cluster (prompt id) of each case.
        level: the coverage wanted.

    Raises:
        ValueError: the lengths differ.
    """
    x, hit = np.asarray(scores, dtype=np.float64), np.asarray(positive, dtype=bool)
    if len(x) != len(hit):
        raise ValueError(f"{len(x)} scores, but {len(hit)} cases")
    m, n = int(hit.sum()), int((~hit).sum())
    if not m or not n:
        return Estimate(math.nan, math.nan, math.nan, len(x))
    ranks = stats.rankdata(x)
    placed = np.empty(len(x))
    placed[hit] = (ranks[hit] - stats.rankdata(x[hit])) / n
    placed[~hit] = 1 - (ranks[~hit] - stats.rankdata(x[~hit])) / m
    area = float(placed[hit].mean())
    # The area's influence a case, scaled so that the error of its mean is the area's.
    influence = (placed - area) * len(x) / np.where(hit, m, n)
    error, dof = standard_error(influence, clusters)
    if not 0 < area < 1 or dof < 1:
        return Estimate(area, math.nan, math.nan, len(x))
    logit = math.log(area / (1 - area))
    half = float(stats.t.ppf((1 + level) / 2, dof)) * error / (area * (1 - area))
    low, high = (1 / (1 + math.exp(-bound)) for bound in (logit - half, min(logit + half, 700)))
    return Estimate(area, low, high, len(x))
