from __future__ import annotations

import math
import time

import evalica
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score
from stats.tables import KRIPPENDORFF, llmfao

from heed.stats.agreement import (
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
    pairwise_agreement,
    tabulate,
)

NAN = math.nan


@pytest.fixture(scope="module")
def votes() -> np.ndarray:
    rows = llmfao()
    code = {"left": 0.0, "tie": 1.0, "right": 2.0}
    return tabulate(
        [row["id"] for row in rows],
        [row["worker"] for row in rows],
        [code[row["winner"]] for row in rows],
    )


@pytest.mark.parametrize(
    ("level", "alpha"),
    [("nominal", 0.69136), ("ordinal", 0.80672), ("interval", 0.81084), ("ratio", 0.80894)],
)
def test_krippendorffs_example(level: str, alpha: float) -> None:
    found = krippendorff_alpha(KRIPPENDORFF, level)
    assert found.mean == pytest.approx(alpha, abs=5e-6)
    assert found.n == 12  # three units have fewer than two values
    assert found.low < found.mean < found.high <= 1


def test_llmfao(votes: np.ndarray) -> None:
    start = time.perf_counter()
    for level, alpha in (("nominal", 0.29060), ("ordinal", 0.28755), ("interval", 0.28776)):
        found = krippendorff_alpha(votes, level)
        assert found.mean == pytest.approx(alpha, abs=5e-6)
        assert 0.03 < found.high - found.low < 0.06
    five = (~np.isnan(votes)).sum(axis=0) == 5
    kappa = fleiss_kappa(votes[:, five])
    assert kappa.n == 998
    assert kappa.mean == pytest.approx(0.29250, abs=5e-6)
    assert pairwise_agreement(votes).mean == pytest.approx(0.532, abs=5e-4)
    assert pairwise_agreement(votes, tie=1.0).mean == pytest.approx(0.701, abs=5e-4)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval", "ratio"])
def test_alpha_is_evalicas(level: str) -> None:
    rng = np.random.default_rng(4)
    table = rng.integers(1, 6, size=(6, 40)).astype(float)
    table[1] = np.where(rng.random(40) < 0.7, table[0], table[1])
    table[rng.random(table.shape) < 0.4] = NAN
    theirs = evalica.alpha(pd.DataFrame(table), level).alpha
    assert krippendorff_alpha(table, level).mean == pytest.approx(theirs, abs=1e-12)


def test_kappa_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 5, 300)
    second = np.where(rng.random(300) < 0.6, first, rng.integers(0, 5, 300))
    for weights, theirs in (("none", None), ("quadratic", "quadratic")):
        found = cohen_kappa(first.tolist(), second.tolist(), weights)
        expected = cohen_kappa_score(first, second, weights=theirs)
        assert found.mean == pytest.approx(expected, abs=1e-12)
        assert found.low < expected < found.high


def test_fleiss_by_hand() -> None:
    # Three items of three answers: aaa, aab, bbb. Mean agreement 7/9, shares 5/9 and 4/9.
    table = [[0, 0, 1], [0, 0, 1], [0, 1, 1]]
    by_chance = 25 / 81 + 16 / 81
    assert fleiss_kappa(table).mean == pytest.approx((7 / 9 - by_chance) / (1 - by_chance))
    with pytest.raises(ValueError, match="these have 2, 3"):
        fleiss_kappa([[0, 0, 1], [0, 0, 1], [0, NAN, 1]])


def test_pairwise_agreement_by_hand() -> None:
    table = [[0, 1, 2, 0], [0, 1, 0, NAN], [2, 2, 0, NAN]]
    assert pairwise_agreement(table).mean == pytest.approx(3 / 9)
    # Without the ties (1): items 0 and 2 leave one pair of three each that agrees.
    assert pairwise_agreement(table, tie=1).mean == pytest.approx(2 / 6)


@pytest.mark.parametrize("missing", [None, math.nan])
def test_a_missing_answer_is_no_category(missing: float | None) -> None:
    with pytest.raises(ValueError, match="both raters answered"):
        cohen_kappa([1, missing, 2], [1, missing, 1])


def test_answers_that_are_all_alike_tell_nothing_of_chance() -> None:
    same = [[1, 1, 1], [1, 1, 1]]
    assert math.isnan(krippendorff_alpha(same, "nominal").mean)
    assert math.isnan(fleiss_kappa(same).mean)
    assert math.isnan(cohen_kappa([1, 1], [1, 1]).mean)
    assert math.isnan(krippendorff_alpha(same, "nominal").low)
    assert pairwise_agreement(same).mean == 1.0


def test_nothing_to_compare() -> None:
    alone = [[1, NAN], [NAN, 2]]
    for found in (krippendorff_alpha(alone, "ordinal"), pairwise_agreement(alone)):
        assert found.n == 0
        assert math.isnan(found.mean)
        assert math.isnan(found.low)
    empty = tabulate([], [], [])
    assert math.isnan(krippendorff_alpha(empty, "nominal").mean)
    one = krippendorff_alpha([[1], [2]], "nominal")
    assert one.mean == 0.0
    assert math.isnan(one.low)


def test_intervals_repeat_and_cover() -> None:
    """Of 150 samples, about 95% of the intervals hold the agreement of the whole population."""
    rng = np.random.default_rng(1)
    hits = 0
    for seed in range(150):
        truth = rng.integers(0, 2, 80)
        raters = np.where(rng.random((3, 80)) < 0.8, truth, 1 - truth).astype(float)
        found = pairwise_agreement(raters, resamples=300, seed=seed)
        hits += found.low <= 0.8**2 + 0.2**2 <= found.high
    assert 0.88 <= hits / 150 <= 0.99
    one, again, other = (krippendorff_alpha(raters, "nominal", seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert one.mean == other.mean
    assert one.low != other.low


def test_clusters_are_resampled_whole() -> None:
    rng = np.random.default_rng(2)
    table = rng.integers(0, 2, size=(3, 30)).astype(float)
    copies = np.repeat(table, 4, axis=1)
    names = [column // 4 for column in range(120)]
    plain, clustered = (
        krippendorff_alpha(copies, "nominal", clusters=each) for each in (None, names)
    )
    assert clustered.mean == plain.mean
    assert clustered.n == plain.n == 120
    assert clustered.high - clustered.low > 1.6 * (plain.high - plain.low)


def test_tables_of_votes() -> None:
    table = tabulate(["x", "y", "x"], ["b", "b", "a"], [1, 2, 3])
    np.testing.assert_array_equal(table, [[1, 2], [3, NAN]])
    with pytest.raises(ValueError, match="'a' has two values for item 'x'"):
        tabulate(["x", "x"], ["a", "a"], [1, 1])
    with pytest.raises(ValueError, match="1 items, 2 raters"):
        tabulate(["x"], ["a", "b"], [1])


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="1 dimension"):
        krippendorff_alpha([1, 2], "nominal")
    with pytest.raises(ValueError, match="2 answers of one rater, 1"):
        cohen_kappa([1, 2], [1])
    with pytest.raises(ValueError, match="2 items, but 1 clusters"):
        cohen_kappa([1, 2], [1, 2], clusters=["a"])
