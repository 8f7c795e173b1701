from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest

from heed.gates.crowd import agreement, spammers
from heed.gates.finding import Finding
from heed.stats.agreement import krippendorff_alpha, tabulate
from heed.stats.consensus import one_coin

Votes = tuple[list[int], list[str], list[bool]]


def crowd(reliability: list[float], items: int, per_item: int, rng: np.random.Generator) -> Votes:
    """Items, raters and labels: whether the first answer is preferred."""
    truth = rng.random(items) < 0.5
    item = np.repeat(np.arange(items), per_item)
    people = range(len(reliability))
    rater = np.concatenate([rng.permutation(people)[:per_item] for _ in range(items)])
    right = rng.random(len(item)) < np.array(reliability)[rater]
    labels = np.where(right, truth[item], ~truth[item])
    return item.tolist(), [f"person {each}" for each in rater], labels.tolist()


def asked_agreement(votes: Votes, least: float = 0.15) -> Finding | None:
    items, _, labels = votes
    return agreement(labels, items, items, least=least, false_alarms=0.01)


def asked_spammers(votes: Votes) -> Finding | None:
    items, raters, labels = votes
    model = one_coin(items, raters, labels, right=4.0, wrong=1.0)
    return spammers(raters, labels, model, Counter(raters), share=0.25, false_alarms=0.01)


def test_alpha_is_krippendorffs() -> None:
    rng = np.random.default_rng(1)
    rows = [
        (unit, rater, str(rng.choice(["first", "tie", "second"])))
        for unit, rater in product(range(80), range(4))
        if rng.random() < 0.6
    ]
    words = ["first", "tie", "second"]
    units, raters, said = zip(*rows, strict=True)
    table = tabulate(units, raters, [float(words.index(each)) for each in said])
    alpha = krippendorff_alpha(table, "nominal", resamples=0).mean
    found = agreement(said, units, units, least=0.5, false_alarms=0.01)
    assert found is not None
    assert f"alpha {alpha:.2f} on" in found.says
    assert found.tripped
    assert "guideline" in found.says
    none = agreement(said, units, units, least=alpha, false_alarms=0.01)
    assert none is not None
    assert none.statistic == pytest.approx(0, abs=1e-12)


def test_units_of_an_item_are_one_piece_of_evidence() -> None:
    votes = crowd([0.55] * 5, 200, 2, np.random.default_rng(2))
    once = asked_agreement(votes)
    items, _, labels = votes
    again = agreement(
        labels * 2, [*((i, 0) for i in items), *((i, 1) for i in items)], items * 2,
        least=0.15, false_alarms=0.01,
    )  # fmt: skip
    assert once is not None
    assert again is not None
    assert again.statistic == pytest.approx(once.statistic, rel=0.01)


def test_without_overlap_nothing_is_said() -> None:
    votes = crowd([0.5] * 5, 400, 1, np.random.default_rng(3))
    assert asked_agreement(votes) is None
    assert asked_spammers(votes) is None
    assert agreement([], [], [], least=0.1, false_alarms=0.01) is None
    alike = [True] * 100
    units = [*range(50), *range(50)]
    assert agreement(alike, units, units, least=0.1, false_alarms=0.01) is None


def test_all_agree_or_all_differ() -> None:
    units = [*range(100), *range(100)]
    first = [True, False] * 50
    same = agreement(first * 2, units, units, least=0.15, false_alarms=0.01)
    other = agreement(
        [*first, *(not x for x in first)], units, units, least=0.15, false_alarms=0.01
    )
    assert same is not None
    assert not same.tripped
    assert other is not None
    assert other.tripped


@pytest.mark.parametrize(
    ("right", "least", "most"), [(0.9, 0, 0), (0.694, 0, 0.02), (0.5, 0.95, 1)]
)
def test_agreement_power_and_false_alarms(right: float, least: float, most: float) -> None:
    """Right with a chance of .694, people agree with an alpha of .15, the bound; at .5 they guess.
    300 items, three labels each.
    """
    rng = np.random.default_rng(4)
    trips = 0
    for _ in range(500):
        found = asked_agreement(crowd_of_two_sides(right, 300, 3, rng))
        trips += found is not None and found.tripped
    assert least <= trips / 500 <= most


def crowd_of_two_sides(right: float, n: int, k: int, rng: np.random.Generator) -> Votes:
    """As `crowd`, of equals, and fast."""
    truth = rng.random(n) < 0.5
    said = np.where(rng.random((n, k)) < right, truth[:, None], ~truth[:, None])
    return np.repeat(np.arange(n), k).tolist(), [], said.ravel().tolist()


@pytest.mark.parametrize(
    ("bad", "least", "most"), [(0, 0, 0), (2, 0, 0), (4, 0, 0.02), (6, 0.95, 1)]
)
def test_spammers_power_and_false_alarms(bad: int, least: float, most: float) -> None:
    """So many of 16 click at random, the others are right 90% of the time; 480 items, 3 labels."""
    rng = np.random.default_rng(5)
    trips = 0
    for _ in range(100):
        found = asked_spammers(crowd([0.5] * bad + [0.9] * (16 - bad), 480, 3, rng))
        trips += found is not None and found.tripped
    assert least <= trips / 100 <= most


def test_spammers_are_named() -> None:
    found = asked_spammers(crowd([0.5] * 4 + [0.95] * 6, 500, 3, np.random.default_rng(6)))
    assert found is not None
    assert found.tripped
    assert "4 of 10 annotators" in found.says
    assert all(f"person {number}" in found.says for number in range(4))
    assert "person 4" not in found.says
