from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from heed.stats.roc import auroc


def test_by_hand() -> None:
    # Of four pairs, .8 lies above both, .4 above one.
    found = auroc([0.8, 0.4, 0.5, 0.3], [True, True, False, False])
    assert (found.mean, found.n) == (0.75, 4)
    assert auroc([1.0, 1.0], [True, False]).mean == 0.5


def test_equals_the_plain_area_with_ties() -> None:
    rng = np.random.default_rng(0)
    hit = rng.random(300) < 0.3
    scores = np.round(rng.normal(hit * 1.0), 1)
    assert auroc(scores, hit.tolist()).mean == pytest.approx(roc_auc_score(hit, scores))


def test_delongs_error_without_clusters() -> None:
    """The sum of the two variances of placements, as DeLong et al. write it."""
    rng = np.random.default_rng(1)
    hit = rng.random(200) < 0.5
    x = rng.normal(hit * 0.7)
    above = (x[hit][:, None] > x[~hit][None, :]).astype(float)
    variance = above.mean(1).var(ddof=1) / hit.sum() + above.mean(0).var(ddof=1) / (~hit).sum()
    found = auroc(x, hit.tolist())
    logit = math.log(found.high / (1 - found.high)) - math.log(found.mean / (1 - found.mean))
    error = logit * found.mean * (1 - found.mean) / stats.t.ppf(0.975, 199)
    assert error == pytest.approx(math.sqrt(variance), rel=0.01)


def test_what_cannot_be_known() -> None:
    assert math.isnan(auroc([1.0, 2.0], [True, True]).mean)
    assert math.isnan(auroc([], []).mean)
    perfect = auroc([2.0, 1.0], [True, False])
    assert perfect.mean == 1.0
    assert math.isnan(perfect.low)
    assert math.isnan(auroc([2.0, 1.0, 3.0], [True, False, False], ["a"] * 3).low)
    with pytest.raises(ValueError, match="2 scores, but 1 cases"):
        auroc([1.0, 2.0], [True])


def test_covers_the_truth_with_clusters() -> None:
    """Forty prompts of eight answers that share their prompt's luck, in score and in kind."""
    rng = np.random.default_rng(2)
    clusters = np.repeat(np.arange(40), 8)

    def draw(prompts: int, each: int) -> tuple[np.ndarray, np.ndarray]:
        shared = rng.normal(size=(prompts, 1))
        hit = rng.random((prompts, each)) < 1 / (1 + np.exp(-1.5 * shared))
        return (0.8 * shared + 0.6 * hit + rng.normal(size=(prompts, each))).ravel(), hit.ravel()

    scores, hit = draw(60_000, 8)
    truth = roc_auc_score(hit, scores)
    covered = 0
    for _ in range(600):
        scores, hit = draw(40, 8)
        found = auroc(scores, hit.tolist(), clusters.tolist())
        covered += found.low <= truth <= found.high
    assert 0.93 <= covered / 600 <= 0.97
