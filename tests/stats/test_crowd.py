from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from heed.stats.consensus import one_coin
from heed.stats.crowd import (
    Flag,
    below_crowd,
    by_annotator,
    constant_answers,
    holm,
    left_share,
    side_bias,
    speed_outliers,
    unreliable,
)


def names(flags: list[Flag]) -> list[str]:
    return [flag.annotator for flag in flags]


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.6, 0.5]), [1, 1])
    assert len(holm([])) == 0


def test_left_share_is_the_exact_binomial_test() -> None:
    raters = ["even"] * 20 + ["left"] * 20 + ["right"] * 20
    lefts = [True, False] * 10 + [True] * 17 + [False] * 3 + [False] * 20
    flags = left_share(raters, lefts)
    assert names(flags) == ["left", "right"]
    left, right = flags
    assert left.p_value == pytest.approx(2 * stats.binomtest(17, 20).pvalue)
    assert left.statistic >= left.threshold > 0.5 > right.threshold >= right.statistic
    assert left.sentence.startswith(
        "prefers the left answer in 17 of 20 verdicts (85%, 95% interval 64% to 95%)"
    )
    assert "right answer in 20 of 20 verdicts (100%, 95% interval 84% to 100%)" in right.sentence


def judged(bias: float, seed: int, people: int = 10, labels: int = 60) -> dict[str, list]:
    """Leanings with sides at random; person 0 leans to the left by `bias`."""
    rng = np.random.default_rng(seed)
    rater = np.repeat(np.arange(people), labels)
    quality = rng.normal(0, 2, people * labels)
    first_left = rng.random(len(rater)) < 0.5
    felt = quality + rng.logistic(size=len(rater))
    felt += np.where(first_left, 1, -1) * bias * (rater == 0)
    return {
        "raters": [f"p{k}" for k in rater],
        "leanings": felt.tolist(),
        "first_left": first_left.tolist(),
        "predictors": quality[:, None].tolist(),
        "clusters": list(range(len(rater))),
    }


def test_side_bias_is_found_and_honest_people_are_not() -> None:
    studies = [judged(1.5, seed) for seed in range(60)]
    flagged = [names(side_bias(**study)) for study in studies]
    assert np.mean(["p0" in found for found in flagged]) > 0.95
    honest = [name for found in flagged for name in found if name != "p0"]
    assert len(honest) / (60 * 9) < 0.02
    # Counting left verdicts alone sees far less.
    counted = [
        left_share(
            study["raters"],
            [
                (lean > 0) == left
                for lean, left in zip(study["leanings"], study["first_left"], strict=True)
            ],
        )
        for study in studies
    ]
    assert np.mean(["p0" in names(found) for found in counted]) < 0.8


def test_side_bias_among_the_honest() -> None:
    """Holm keeps the chance of flagging anyone at 5%."""
    anyone = [bool(side_bias(**judged(0.0, 1000 + seed))) for seed in range(200)]
    assert np.mean(anyone) < 0.09


def test_side_bias_says_what_it_saw() -> None:
    (flag,) = side_bias(**judged(4.0, 0))
    assert flag.kind == "side"
    assert flag.statistic > flag.threshold > 2
    assert flag.p_value < 1e-4
    assert "prefers the left answer in" in flag.sentence
    (flag,) = side_bias(**judged(-4.0, 0))
    assert flag.statistic < -flag.threshold
    assert "prefers the right answer in" in flag.sentence


def test_pairs_of_one_item_keep_their_signs_together() -> None:
    once = judged(0.0, 3, people=2, labels=40)
    again = {name: values * 5 for name, values in once.items()}
    loose = {**again, "clusters": list(range(400))}
    assert not side_bias(**again)
    first = side_bias(**{**loose, "alpha": 1.1})
    tied = side_bias(**{**again, "alpha": 1.1})
    assert abs(first[0].statistic) == pytest.approx(math.sqrt(5) * abs(tied[0].statistic))


def test_speed_outliers() -> None:
    rng = np.random.default_rng(0)
    raters = [f"p{k}" for k in range(12) for _ in range(40)]
    seconds = rng.lognormal(math.log(10), 0.4, len(raters))
    seconds[:40] /= 6
    seconds[40:80] *= 8
    fast, slow = speed_outliers(raters, seconds)
    assert (fast.annotator, slow.annotator) == ("p0", "p1")
    assert fast.statistic < -fast.threshold < 0 < slow.threshold < slow.statistic
    assert "times faster" in fast.sentence
    assert "times slower" in slow.sentence


@pytest.mark.parametrize("people", [3, 5, 8, 16, 50])
@pytest.mark.parametrize("spread", [0.3, 1.0])
def test_speeds_of_an_honest_crowd(people: int, spread: float) -> None:
    """The chance of flagging anyone is 5%, less where all are within about `FACTOR`."""
    rng = np.random.default_rng(people)
    raters = [f"p{k}" for k in range(people)]
    paces = np.exp(rng.normal(math.log(10), spread, (400, people)))
    assert np.mean([bool(speed_outliers(raters, each)) for each in paces]) < 0.08


def test_speeds_of_an_honest_crowd_with_unlike_numbers_of_labels() -> None:
    rng = np.random.default_rng(1)
    counts = [1, 2, 5, 10, 20, 30, 40, 60, 60, 60]
    rater = np.repeat(np.arange(10), counts)
    flagged = []
    for _ in range(400):
        log = rng.normal(math.log(10), 0.6, 10)[rater] + rng.normal(0, 0.5, len(rater))
        flagged.append(bool(speed_outliers([f"p{k}" for k in rater], np.exp(log))))
    assert np.mean(flagged) < 0.1


def test_a_crowd_of_one_pace_calls_nobody_slow_within_a_factor() -> None:
    raters = [f"p{k}" for k in range(8) for _ in range(5)]
    seconds = [10.0] * 35 + [17.0] * 5
    assert not speed_outliers(raters, seconds)
    assert names(speed_outliers(raters, [10.0] * 35 + [60.0] * 5)) == ["p7"]
    assert not speed_outliers(["a", "b"], [1, 100])  # two cannot say who is odd
    assert not speed_outliers(raters, [0.0] * 40)


def votes(accuracy: list[float], items: int, seed: int) -> tuple[list, list, list]:
    rng = np.random.default_rng(seed)
    truth = rng.random(items) < 0.5
    rows = [
        (item, f"p{rater}", bool(truth[item] == (rng.random() < accuracy[rater])))
        for item in range(items)
        for rater in rng.choice(len(accuracy), 3, replace=False).tolist()
    ]
    return tuple(map(list, zip(*rows, strict=True)))  # type: ignore[return-value]


def test_unreliable_people_are_found_and_honest_ones_are_not() -> None:
    found, honest = [], 0
    for seed in range(60):
        items, raters, labels = votes([0.5, 0.1, *[0.88] * 10], 240, seed)
        flags = unreliable(raters, labels, one_coin(items, raters, labels))
        found.append({"p0", "p1"} <= set(names(flags)))
        honest += len(set(names(flags)) - {"p0", "p1"})
    assert np.mean(found) > 0.95
    assert honest / 600 < 0.005
    assert all(flag.statistic < flag.threshold for flag in flags)
    assert "guessing is 0.50" in flags[0].sentence


def test_much_evidence_makes_nobody_unreliable_who_is_only_a_little_worse() -> None:
    items, raters, labels = votes([0.8, *[0.9] * 5], 4000, 0)
    model = one_coin(items, raters, labels)
    assert model.reliability[model.raters.index("p0")] == pytest.approx(0.8, abs=0.03)
    assert not unreliable(raters, labels, model)


def test_of_two_who_disagree_neither_is_flagged() -> None:
    flagged = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        truth = rng.random(60) < 0.5
        honest = (truth == (rng.random(60) < 0.9)).tolist()
        guesses = (rng.random(80) < 0.5).tolist()  # who clicks at random has given more labels
        raters, labels = ["honest"] * 60 + ["guesses"] * 80, honest + guesses
        model = one_coin([*range(60), *range(80)], raters, labels)
        flagged += len(unreliable(raters, labels, model))
    assert flagged == 0


def test_equals_who_are_often_wrong_are_seldom_flagged() -> None:
    flagged = []
    for seed in range(100):
        items, raters, labels = votes([0.8] * 15, 300, 1000 + seed)
        flagged.append(bool(unreliable(raters, labels, one_coin(items, raters, labels))))
    assert np.mean(flagged) < 0.1


def test_without_overlap_nobody_can_be_judged() -> None:
    items, raters = list(range(40)), ["a"] * 20 + ["b"] * 20
    labels = [True] * 40
    assert not unreliable(raters, labels, one_coin(items, raters, labels))
    worse = one_coin(items * 2, raters + ["c"] * 40, labels + [False] * 40, right=1.0, wrong=9.0)
    assert not unreliable(raters + ["c"] * 40, labels + [False] * 40, worse)


def test_below_crowd() -> None:
    raters = [f"p{k}" for k in range(6) for _ in range(10)]
    hits = ([True] * 4 + [False] * 6) + ([True] * 9 + [False]) * 5
    (flag,) = below_crowd(raters, hits, "gold")
    assert (flag.annotator, flag.kind) == ("p0", "gold")
    assert flag.statistic == pytest.approx(0.4)
    assert flag.threshold == pytest.approx(0.7)
    fisher = stats.fisher_exact([[4, 6], [45, 5]], alternative="less")
    assert flag.p_value == pytest.approx(6 * fisher.pvalue)
    assert flag.sentence == "answers 4 of 10 gold items right; the others 90%"
    assert not below_crowd(["a"] * 9, [False] * 9, "gold")
    assert not below_crowd([], [], "self-agreement")


@pytest.mark.parametrize(
    ("people", "each", "accuracy"), [(10, 3, 0.95), (2, 20, 0.95), (20, 5, 0.97), (10, 20, 0.7)]
)
def test_gold_flags_among_equals(people: int, each: int, accuracy: float) -> None:
    """The family-wise rate is at most 5%, from few gold items and high accuracies too."""
    rng = np.random.default_rng(0)
    raters = [f"p{k}" for k in range(people) for _ in range(each)]
    crowds = rng.random((300, len(raters))) < accuracy
    assert np.mean([bool(below_crowd(raters, hits, "gold")) for hits in crowds]) < 0.08


def test_a_newcomers_first_mistake_is_no_flag() -> None:
    assert not below_crowd(["a"] * 10 + ["new"], [True] * 10 + [False], "gold")


def test_gold_still_finds_who_guesses() -> None:
    rng = np.random.default_rng(1)
    raters = [f"p{k}" for k in range(10) for _ in range(20)]
    chances = np.where(np.array(raters) == "p0", 0.5, 0.95)
    found = [names(below_crowd(raters, rng.random(200) < chances, "gold")) for _ in range(100)]
    assert np.mean([each == ["p0"] for each in found]) > 0.9


def test_constant_answers() -> None:
    raters = ["same"] * 30 + ["often"] * 30 + ["varied"] * 32
    verdicts = ["tie"] * 30 + [1] * 21 + [8] * 9 + [1, 2, 3, 4, 5, 6, 7, 8] * 4
    (flag,) = constant_answers(raters, verdicts)
    assert (flag.annotator, flag.statistic) == ("same", 1.0)
    assert flag.sentence == "gives the verdict tie in 100% of 30 labels"
    # Items may all be alike: then everybody says the same.
    assert not constant_answers(raters, ["tie"] * 92)
    assert names(constant_answers(["alone"] * 30, ["tie"] * 30)) == ["alone"]


def test_flags_by_annotator() -> None:
    a, b = (Flag("a", kind, 1, 0, 0.01, "") for kind in ("gold", "speed"))
    c = Flag("c", "side", 1, 0, 0.01, "")
    assert by_annotator([a, c, b]) == {"a": (a, b), "c": (c,)}
