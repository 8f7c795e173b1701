from __future__ import annotations

import math

import evalica
import numpy as np
import pytest
from stats.tables import llmfao

from heed.stats.ratings import START, bradley_terry, elo, elo_update, ranks

SCORE = {"left": 1.0, "tie": 0.5, "right": 0.0}
LEFT = ["a", "a", "b", "c", "a", "b"]
RIGHT = ["b", "b", "c", "a", "c", "a"]
SCORES = [1, 0.5, 1, 1, 0.5, 1]


def test_llmfao() -> None:
    rows = llmfao()
    left, right = ([row[side] for row in rows] for side in ("left", "right"))
    scores = [SCORE[row["winner"]] for row in rows]
    first = bradley_terry(left, right, scores)
    assert (first[0].name, first[-1].name) == ("GPT 4", "Dolly v2 (3B)")
    assert first[0].rating == pytest.approx(1172.133, abs=5e-4)
    assert first[-1].rating == pytest.approx(845.659, abs=5e-4)
    assert np.mean([each.rating for each in first]) == pytest.approx(1000)
    assert first[0].error == pytest.approx(27.86, abs=5e-3)
    fisher = bradley_terry(left, right, scores, errors="fisher")
    assert fisher[0].error == pytest.approx(33.55, abs=5e-3)
    for column, error in (("id", 31.2), ("worker", 35.1), ("prompt", 36.3)):
        clusters = [row[column] for row in rows]
        found = bradley_terry(left, right, scores, clusters=clusters)
        assert found[0].error == pytest.approx(error, abs=0.05)
        assert found[0].rating == first[0].rating
    theirs = evalica.elo(left, right, [WINNERS[row["winner"]] for row in rows]).scores
    ours = elo(left, right, scores)
    assert ours == pytest.approx(theirs.to_dict())


WINNERS = {"left": evalica.Winner.X, "right": evalica.Winner.Y, "tie": evalica.Winner.Draw}


def test_two_models_by_hand() -> None:
    # Three wins of four: odds of three; Fisher information 4 * 3/16 for the difference.
    best, other = bradley_terry(["a"] * 4, ["b"] * 4, [1, 1, 1, 0], errors="fisher")
    gap = 400 * math.log10(3)
    assert (best.rating, other.rating) == pytest.approx((START + gap / 2, START - gap / 2))
    error = 400 / math.log(10) * math.sqrt(1 / 0.75) / 2
    assert best.error == pytest.approx(error)
    assert best.high - best.low == pytest.approx(2 * 1.959964 * error, rel=1e-6)
    # The model holds here, so the data's own error agrees with it.
    assert bradley_terry(["a"] * 4, ["b"] * 4, [1, 1, 1, 0])[0].error == pytest.approx(error)


def test_ratings_are_evalicas() -> None:
    winners = [{1: "left", 0.5: "tie", 0: "right"}[score] for score in SCORES]
    theirs = evalica.bradley_terry(
        LEFT, RIGHT, [WINNERS[each] for each in winners], tolerance=1e-12, limit=10000
    )
    log = {name: math.log(score) for name, score in theirs.scores.items()}
    ours = {each.name: each.rating for each in bradley_terry(LEFT, RIGHT, SCORES)}
    for a, b in (("a", "b"), ("b", "c")):
        assert ours[a] - ours[b] == pytest.approx(400 / math.log(10) * (log[a] - log[b]), abs=1e-4)


def test_a_weight_counts_votes() -> None:
    weights = [2, 1, 3, 1, 0, 1]
    weighted = bradley_terry(LEFT, RIGHT, SCORES, weights=weights, errors="fisher")
    repeated = [
        [x for x, n in zip(values, weights, strict=True) for _ in range(n)]
        for values in (LEFT, RIGHT, SCORES)
    ]
    for one, other in zip(weighted, bradley_terry(*repeated, errors="fisher"), strict=True):
        assert one.rating == pytest.approx(other.rating)
        assert one.error == pytest.approx(other.error)


def test_one_cluster_per_vote_is_no_clustering() -> None:
    plain = bradley_terry(LEFT, RIGHT, SCORES)
    alone = bradley_terry(LEFT, RIGHT, SCORES, clusters=list(range(6)))
    assert [each.error for each in plain] == pytest.approx([each.error for each in alone])


def test_the_interval_of_few_clusters_is_students() -> None:
    found = bradley_terry(LEFT, RIGHT, SCORES, clusters=["x", "x", "y", "y", "z", "z"])
    for each in found:
        half = 4.302653 * math.sqrt(3 / 2) * each.error  # t with 2 degrees of freedom
        assert each.high - each.rating == pytest.approx(half, rel=1e-6)
    weights = [1, 1, 1, 1, 0, 0]  # the third cluster says nothing
    found = bradley_terry(LEFT, RIGHT, SCORES, clusters=list("xyxyzz"), weights=weights)
    half = 12.706205 * math.sqrt(2) * found[0].error
    assert found[0].high - found[0].rating == pytest.approx(half, rel=1e-6)
    with pytest.raises(ValueError, match="one cluster"):
        bradley_terry(LEFT, RIGHT, SCORES, clusters=["x"] * 6)


def test_intervals_of_ten_voters_cover_the_rating() -> None:
    """Voters with tastes of their own; three models of equal strength, so the truth is 1000."""
    rng = np.random.default_rng(1)
    names, covered = ["a", "b", "c"], []
    for _ in range(400):
        voter = np.repeat(np.arange(10), 20)
        taste = rng.normal(0, 1, (10, 3))
        left = rng.integers(3, size=len(voter))
        right = (left + rng.integers(1, 3, size=len(voter))) % 3
        gap = taste[voter, left] - taste[voter, right]
        won = rng.random(len(voter)) < 1 / (1 + np.exp(-gap))
        found = bradley_terry(
            [names[i] for i in left], [names[i] for i in right], won, clusters=voter.tolist()
        )
        covered += [each.low <= START <= each.high for each in found]
    assert 0.93 < np.mean(covered) < 0.97


def test_sandwich_errors_are_those_of_repetition() -> None:
    """The spread of ratings over 150 samples with ties is the sandwich error, not Fisher's."""
    rng = np.random.default_rng(0)
    strength = {"a": 0.8, "b": 0.0, "c": -0.8}
    ratings, sandwich, fisher = [], [], []
    for _ in range(150):
        votes = []
        for left, right in [("a", "b"), ("b", "c"), ("c", "a")] * 60:
            p = 1 / (1 + math.exp(strength[right] - strength[left]))
            drawn = 0.5 if rng.random() < 0.4 else float(rng.random() < p)
            votes.append((left, right, drawn))
        columns = list(zip(*votes, strict=True))
        found = {each.name: each for each in bradley_terry(*columns)}
        ratings.append(found["a"].rating)
        sandwich.append(found["a"].error)
        by_model = bradley_terry(*columns, errors="fisher")
        fisher.append(next(each.error for each in by_model if each.name == "a"))
    spread = float(np.std(ratings))
    assert np.mean(sandwich) == pytest.approx(spread, rel=0.15)
    assert np.mean(fisher) > 1.2 * spread


@pytest.mark.parametrize(
    ("left", "right", "scores", "words"),
    [
        (["a", "c"], ["b", "d"], [0.5, 0.5], "never met"),
        (["a", "b", "c"], ["b", "c", "b"], [1, 1, 1], "only won, or only lost.*: a"),
        (["a"], ["b"], [1], "only won"),
        ([], [], [], "no votes"),
    ],
)
def test_votes_that_do_not_determine_ratings(
    left: list[str], right: list[str], scores: list[float], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        bradley_terry(left, right, scores)


def test_weights_of_zero_cannot_join_models() -> None:
    with pytest.raises(ValueError, match="never met"):
        bradley_terry(["a", "a", "c"], ["b", "b", "a"], [1, 0, 0.5], weights=[1, 1, 0])


def test_votes_of_very_unlike_weight() -> None:
    votes = (["a", "b", "c", "a"], ["b", "c", "a", "c"], [1 - 1e-6, 0.99, 1e-6, 0.5])
    found = bradley_terry(*votes, weights=[8e3, 40, 1e-3, 1e-4])
    assert [each.name for each in found] == ["a", "b", "c"]
    assert found[0].rating - found[1].rating == pytest.approx(2400, abs=2)
    with pytest.raises(ValueError, match="too far apart"):
        bradley_terry(*votes, weights=[1e200, 1, 1, 1])


def test_a_maximum_that_whole_newton_steps_would_leap_over() -> None:
    left, right = ["a", "b", "c", "d", "c"], ["b", "c", "d", "a", "b"]
    weights = np.array([100, 0.001, 10, 0.01, 100])
    found = bradley_terry(left, right, np.ones(5), weights=weights)
    rating = {each.name: each.rating for each in found}
    apart = np.array([rating[a] - rating[b] for a, b in zip(left, right, strict=True)])
    pull = weights / (1 + 10 ** (apart / 400))  # the gradient, vote by vote
    for name in "abcd":
        sums = sum(pull[k] * ((left[k] == name) - (right[k] == name)) for k in range(5))
        assert sums == pytest.approx(0, abs=1e-6)


def test_a_ridge_keeps_ratings_finite() -> None:
    best, other = bradley_terry(["a"] * 5, ["b"] * 5, [1] * 5, ridge=0.1)
    assert best.name == "a"
    assert 1000 < best.rating < 2000
    assert best.rating + other.rating == pytest.approx(2000)
    looser = bradley_terry(["a"] * 5, ["b"] * 5, [1] * 5, ridge=0.01)
    assert looser[0].rating > best.rating
    parts = bradley_terry(["a", "c"], ["b", "d"], [1, 0], ridge=0.1)
    assert [each.name for each in parts] == ["a", "d", "b", "c"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scores": [1, 2]}, "scores are 0..1"),
        ({"scores": [1, math.nan]}, "scores are 0..1"),
        ({"weights": [1, -1]}, "weights finite"),
        ({"weights": [1, math.inf]}, "weights finite"),
        ({"weights": [1]}, "2 scores, 1 weights"),
        ({"right": ["b", "b"]}, "with itself"),
        ({"clusters": ["x"]}, "2 votes, but 1 clusters"),
    ],
)
def test_votes_out_of_range(change: dict[str, list[float]], words: str) -> None:
    votes = {"left": ["a", "b"], "right": ["b", "a"], "scores": [1, 1]} | change
    with pytest.raises(ValueError, match=words):
        bradley_terry(**votes)  # type: ignore[arg-type]


def test_ranks_are_the_arenas() -> None:
    # The third overlaps the second, the fourth is below all but the third.
    assert ranks([10, 5, 2, 1], [12, 9, 6, 4]) == [1, 2, 2, 3]
    assert ranks([], []) == []


def test_elo_by_hand() -> None:
    assert elo_update(1000, 1000, 1) == (1002, 998)
    left, right = elo_update(1400, 1000, 0.5)
    assert left == pytest.approx(1400 + 4 * (0.5 - 10 / 11))
    assert left + right == pytest.approx(2400)
    assert elo(["a", "b"], ["b", "a"], [1, 0.5])["a"] < 1002
    with pytest.raises(ValueError, match="zip"):
        elo(["a"], ["b"], [1, 0])
