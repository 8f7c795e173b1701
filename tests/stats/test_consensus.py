from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from stats.tables import patients

from heed.stats.consensus import dawid_skene, one_coin, plurality


def test_plurality() -> None:
    items = ["x", "x", "x", "y", "y", "z"]
    raters = ["a", "b", "c", "a", "b", "a"]
    found = plurality(items, raters, ["l", "r", "r", "l", "r", "l"])
    assert found.items == ("x", "y", "z")
    assert found.labels == ("r", None, "l")
    assert found.tied == (False, True, False)
    np.testing.assert_allclose(found.share, [2 / 3, 1 / 2, 1])


def test_weighted_plurality() -> None:
    votes = (["x"] * 3 + ["y"] * 3, ["a", "b", "c"] * 2, ["l", "r", "r", "l", "l", "r"])
    found = plurality(*votes, weights={"a": 0.7, "b": 0.4, "c": 0.3})
    assert found.labels == (None, "l")  # .7 against .4 + .3, whatever rounding says
    assert plurality(*votes, weights={"a": 0, "b": 0, "c": 0}).labels == (None, None)


def test_the_patients_of_1979() -> None:
    found = dawid_skene(*zip(*patients(), strict=True))
    np.testing.assert_allclose(found.marginals, [0.400, 0.422, 0.112, 0.067], atol=5e-4)
    assert found.log_likelihood == pytest.approx(-192.8909, abs=5e-5)
    assert found.converged
    assert found.classes == (1, 2, 3, 4)
    np.testing.assert_allclose(found.confusion.sum(axis=2), 1)
    np.testing.assert_allclose(found.posterior.sum(axis=1), 1)
    assert (found.labels[0], found.labels[10]) == (1, 4)  # all observers at one


def test_the_likelihood_never_falls() -> None:
    votes = list(zip(*patients(), strict=True))
    likelihoods = [dawid_skene(*votes, iterations=n).log_likelihood for n in range(1, 12)]
    assert all(b >= a for a, b in itertools.pairwise(likelihoods))
    assert not dawid_skene(*votes, iterations=2).converged


def crowd(
    accuracy: list[float], items: int, seed: int
) -> tuple[list[int], list[int], list[bool], np.ndarray]:
    """Everybody labels every item; the truth comes last."""
    rng = np.random.default_rng(seed)
    truth = rng.random(items) < 0.5
    rows = [
        (item, rater, bool(truth[item] == (rng.random() < p)))
        for item in range(items)
        for rater, p in enumerate(accuracy)
    ]
    return (*map(list, zip(*rows, strict=True)), truth)  # type: ignore[return-value]


def test_raters_who_differ_are_told_apart() -> None:
    accuracy = [0.95, 0.9, 0.6, 0.5, 0.5, 0.2]
    items, raters, labels, truth = crowd(accuracy, 600, 0)
    coin = one_coin(items, raters, labels)
    np.testing.assert_allclose(coin.reliability, accuracy, atol=0.05)
    full = dawid_skene(items, raters, labels)
    right = np.array(full.confusion)[:, [0, 1], [0, 1]].mean(axis=1)
    np.testing.assert_allclose(right, accuracy, atol=0.05)
    plain = plurality(items, raters, labels)
    by_vote = np.mean([
        0.5 if label is None else label == best
        for label, best in zip(plain.labels, truth, strict=True)
    ])  # fmt: skip
    assert np.mean((coin.log_odds > 0) == truth) > by_vote + 0.05
    assert np.mean(np.array(full.labels) == truth) > by_vote + 0.05


def test_smoothing_leaves_no_certainty() -> None:
    votes = (["x", "x", "y", "y"], ["a", "b", "a", "b"], [0, 0, 1, 1])
    assert dawid_skene(*votes).confusion.min() == 0
    assert dawid_skene(*votes, smoothing=1.0).confusion.min() > 0.2


def test_a_class_that_a_rater_never_met() -> None:
    found = dawid_skene(["x", "y", "z"], ["a", "b", "b"], [0, 1, 2])
    np.testing.assert_array_equal(found.confusion[0], [[1, 0, 0], [0, 0, 0], [0, 0, 0]])
    assert math.isfinite(found.log_likelihood)
    assert found.labels == (0, 1, 2)


def test_gold_items_teach_who_is_right() -> None:
    # Two against one on everything; gold says that the one is right.
    items = [item for item in range(20) for _ in range(3)]
    raters = ["lone", "pair", "pair too"] * 20
    labels = [True, False, False] * 20
    plain = one_coin(items, raters, labels)
    taught = one_coin(items, raters, labels, known=dict.fromkeys(range(10), True))
    assert dict(zip(plain.raters, plain.reliability, strict=True))["lone"] < 0.3
    assert dict(zip(taught.raters, taught.reliability, strict=True))["lone"] > 0.8
    assert (taught.log_odds[:10] == math.inf).all()
    assert (taught.log_odds[10:] > 0).all()
    assert (taught.others[:30] == math.inf).all()


def test_others_leave_the_vote_out() -> None:
    found = one_coin(["x", "x", "y"], ["a", "b", "a"], [True, True, False])
    weight = np.log(found.reliability / (1 - found.reliability))
    np.testing.assert_allclose(found.others, [weight[1], weight[0], 0], atol=1e-5)


@pytest.mark.parametrize("alike", [5, 20, 30, 50])
def test_two_who_meet_each_other_alone_are_not_told_apart(alike: int) -> None:
    # "a" has some labels more: that is no reason to believe "a" where they differ.
    items = [*range(60), *range(60), *range(100, 110)]
    raters = ["a"] * 60 + ["b"] * 60 + ["a"] * 10
    labels = [True] * 60 + [k < alike for k in range(60)] + [True] * 10
    found = one_coin(items, raters, labels)
    assert found.reliability[0] == found.reliability[1]
    assert 0.5 < found.reliability[0] < 0.95
    differ = [at for at, item in enumerate(found.items) if alike <= item < 60]  # type: ignore[operator]
    np.testing.assert_allclose(found.log_odds[differ], 0, atol=1e-12)
    # A known item tells, and so does a third who shares items with one of them.
    taught = one_coin(items, raters, labels, known={59: True, 58: True})
    assert taught.reliability[0] > taught.reliability[1]
    met = one_coin([*items, *range(20, 60)], raters + ["c"] * 40, labels + [True] * 40)
    assert met.reliability[0] > met.reliability[1]


def test_votes_that_cannot_be_counted() -> None:
    for model in (plurality, dawid_skene, one_coin):
        with pytest.raises(ValueError, match="at least one"):
            model([], [], [])
        with pytest.raises(ValueError, match=r"items \(1\) as raters \(2\)"):
            model(["x"], ["a", "b"], [True])
    with pytest.raises(ValueError, match="above 0"):
        one_coin(["x"], ["a"], [True], wrong=0.0)
