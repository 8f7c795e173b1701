from __future__ import annotations

import csv
import doctest
import math
from types import ModuleType

import numpy as np
import pytest
from needs import data_folder
from scipy.special import expit

from heed.data import alpaca_eval
from heed.data.alpaca_eval import contests, read_table
from heed.stats import controlled, style, win_rates
from heed.stats.contests import Contest
from heed.stats.controlled import MANY, controlled_win_rate, controlled_win_rates
from heed.stats.difficulty import fit_difficulty
from heed.stats.win_rates import win_rate


def drawn(
    rng: np.random.Generator, n: int, theta: float, phi: float, *, shift: float = 0.0,
    difficulty: np.ndarray | None = None, soft: bool = False,
) -> Contest:  # fmt: skip
    """A contest of the model's own making; with `soft` the judge says its probability."""
    length = rng.normal(shift, 1, n)
    bounded = Contest(range(n), np.zeros(n), {"length": length}).bounded()[:, 0]
    hard = np.zeros(n) if difficulty is None else difficulty
    p = expit(theta + phi * bounded + hard)
    wins = p if soft else (rng.random(n) < p).astype(float)
    return Contest(range(n), wins, {"length": 300 * length})


def swapped(contest: Contest) -> Contest:
    other = {name: -values for name, values in contest.differences.items()}
    return Contest(contest.items, 1 - contest.wins, other)


def test_the_published_leaderboard() -> None:
    folder = data_folder("HEED_ALPACA_DATA", "AlpacaEval's preferences.csv.gz and expected.csv")
    judged, errors = read_table(folder / "preferences.csv.gz")
    assert not errors
    field = contests(judged)
    fitted = controlled_win_rates(field)
    with (folder / "expected.csv").open(encoding="utf-8") as file:
        published = {row.pop(""): row for row in csv.DictReader(file)}
    assert set(field) == set(published)
    assert len(field) == 19
    gaps = {}
    for name, row in published.items():
        found = win_rate(field[name].wins)
        assert found.rate.n == int(row["n_total"])
        assert found.rate.mean == pytest.approx(float(row["win_rate"]), abs=1e-3)
        assert found.error == pytest.approx(float(row["standard_error"]), abs=1e-3)
        assert found.discrete.mean == pytest.approx(float(row["discrete_win_rate"]), abs=1e-3)
        expected = float(row["length_controlled_winrate"])
        gaps[name] = fitted[name].rate.mean - expected
        assert fitted[name].rate.low < expected < fitted[name].rate.high
    assert max(map(abs, gaps.values())) < 1.1
    assert np.mean(np.abs(list(gaps.values()))) < 0.5


def test_nothing_controlled_for_is_the_raw_rate_and_error() -> None:
    wins = np.random.default_rng(0).beta(0.3, 0.6, 60)
    for items in (list(range(60)), [n // 3 for n in range(60)]):
        found = controlled_win_rate(Contest(items, wins, {}))
        plain = win_rate(wins, items)
        assert found.rate.mean == pytest.approx(plain.rate.mean)
        assert found.error == pytest.approx(plain.error)
        assert found.raw == plain.rate


def test_where_length_has_no_effect_the_controlled_rate_is_the_raw() -> None:
    """Every pair of lengths d and -d has the same wins, so that phi is 0 exactly."""
    rng = np.random.default_rng(0)
    d, wins = rng.normal(0, 100, 200), rng.random(200)
    mirrored = Contest(range(400), np.tile(wins, 2), {"length": np.concatenate([d, -d])})
    found = controlled_win_rate(mirrored)
    assert found.effects["length"].mean == pytest.approx(0, abs=1e-9)
    assert found.rate.mean == pytest.approx(found.raw.mean, abs=1e-6)
    field = {f"m{k}": drawn(rng, 400, k - 1.0, 0.0, shift=1.0, soft=True) for k in range(3)}
    for each in controlled_win_rates(field).values():
        assert each.rate.mean == pytest.approx(each.raw.mean, abs=1e-3)


def test_a_model_that_wins_only_by_length_is_no_better() -> None:
    rng = np.random.default_rng(0)
    soft = controlled_win_rate(drawn(rng, 500, 0.0, 2.0, shift=1.0, soft=True))
    assert soft.raw.mean > 70
    assert soft.rate.mean == pytest.approx(50, abs=0.3)  # the weak prior pulls phi a little
    assert soft.effects["length"].mean == pytest.approx(2, abs=0.02)
    hard = controlled_win_rate(drawn(rng, 500, 0.0, 2.0, shift=1.0))
    assert hard.rate.low < 50 < hard.rate.high
    # The longer answer wins every time: separated data, a finite fit.
    longest = drawn(rng, 500, 0.0, 1e6, shift=0.5)
    assert controlled_win_rate(longest).rate.mean == pytest.approx(50, abs=3)


@pytest.mark.parametrize("models", [1, 3, MANY])
def test_swapped_sides_give_the_complement(models: int) -> None:
    rng = np.random.default_rng(models)
    hard = rng.normal(0, 1, 120)
    field = {
        f"m{k}": drawn(rng, 120, rng.normal(-1), 1.5, shift=-0.5, difficulty=hard)
        for k in range(models)
    }
    found = controlled_win_rates(field)
    other = controlled_win_rates({name: swapped(each) for name, each in field.items()})
    for name in field:
        assert found[name].rate.mean == pytest.approx(100 - other[name].rate.mean, abs=1e-6)
        assert found[name].rate.low == pytest.approx(100 - other[name].rate.high, abs=1e-6)
        assert found[name].error == pytest.approx(other[name].error, abs=1e-6)
        effect, mirrored = (each[name].effects["length"] for each in (found, other))
        assert effect.mean == pytest.approx(mirrored.mean, abs=1e-6)


def test_the_baseline_against_itself() -> None:
    itself = Contest(range(9), np.full(9, 0.5), {"length": np.zeros(9)})
    rng = np.random.default_rng(0)
    found = controlled_win_rates({"baseline": itself, "other": drawn(rng, 9, 0.5, 1.0)})
    assert (found["baseline"].rate.mean, found["baseline"].error) == (50, 0)
    assert math.isnan(found["baseline"].effects["length"].mean)
    assert math.isfinite(found["other"].rate.high)


def test_who_always_loses_has_the_raw_interval() -> None:
    rng = np.random.default_rng(0)
    lost = Contest(range(50), np.zeros(50), {"length": rng.normal(-500, 100, 50)})
    found = controlled_win_rate(lost)
    assert (found.rate.mean, found.rate.high) == (0, win_rate(np.zeros(50)).rate.high)
    for least in (1e-15, 1e-8):
        nearly = Contest(lost.items, 1 - np.eye(50)[0] * least, lost.differences)
        assert controlled_win_rate(nearly).rate.mean == pytest.approx(100)


def test_a_style_that_no_two_answers_differ_in_is_left_out() -> None:
    rng = np.random.default_rng(0)
    plain = drawn(rng, 80, 0.3, 1.0)
    styled = Contest(plain.items, plain.wins, {**plain.differences, "bold": np.zeros(80)})
    found = controlled_win_rate(styled)
    assert found.rate == controlled_win_rate(plain).rate
    assert math.isnan(found.effects["bold"].mean)
    assert math.isnan(found.errors["bold"])


def test_planted_styles_are_recovered() -> None:
    """Rate and effects with 95% intervals over 600 contests, in which the judge loves lists."""
    rng = np.random.default_rng(0)
    n, theta, phi = 200, -0.5, np.array([1.0, 0.6, 0.3, -0.4])
    rates, effects, means = [], [], []
    for _ in range(600):
        differences = {
            "length": rng.normal(100, 300, n),
            "lists": rng.poisson(2.0, n) - rng.poisson(1.0, n),
            "headers": rng.binomial(2, 0.3, n) - rng.binomial(2, 0.2, n),
            "bold": rng.poisson(1.0, n) - rng.poisson(1.0, n),
        }
        design = Contest(range(n), np.zeros(n), differences).bounded()
        wins = (rng.random(n) < expit(theta + design @ phi)).astype(float)
        found = controlled_win_rate(Contest(range(n), wins, differences))
        rates.append(found.rate.low < 100 * expit(theta) < found.rate.high)
        each = list(found.effects.values())
        effects.append([one.low < true < one.high for one, true in zip(each, phi, strict=True)])
        means.append([one.mean for one in each])
    assert np.mean(means, axis=0) == pytest.approx(phi, abs=0.06)
    assert 0.93 <= np.mean(rates) <= 0.97
    assert ((np.mean(effects, axis=0) >= 0.93) & (np.mean(effects, axis=0) <= 0.97)).all()


def test_intervals_of_a_small_field_cover() -> None:
    """Three models on items of unlike difficulty; the truth is over all items there could be."""
    rng = np.random.default_rng(0)
    every = rng.normal(0, 1.2, 20_000)
    covered, gaps = [], []
    for _ in range(50):
        hard = rng.normal(0, 1.2, 150)
        field, truth = {}, {}
        for name in "abc":
            theta, phi, shift = rng.normal(-1, 0.7), rng.normal(1.8, 0.25), rng.normal(-0.7, 0.7)
            field[name] = drawn(rng, 150, theta, phi, shift=shift, difficulty=hard)
            truth[name] = 100 * expit(theta + every).mean()
        for name, found in controlled_win_rates(field).items():
            covered.append(found.rate.low < truth[name] < found.rate.high)
            gaps.append(found.rate.mean - truth[name])
    assert 0.91 <= np.mean(covered) <= 0.98
    assert abs(np.mean(gaps)) < 1.5


def test_difficulties_are_found() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 1.2, 100)
    field = {f"m{k}": drawn(rng, 100, k / 5 - 2, 1.8, difficulty=hard) for k in range(20)}
    found = fit_difficulty(field)
    assert list(found) == list(range(100))
    assert np.corrcoef(list(found.values()), hard)[0, 1] > 0.9


def test_a_tenfold_answer_is_one_item() -> None:
    once = drawn(np.random.default_rng(0), 40, 0.2, 1.0)
    often = Contest(
        [item for item in once.items for _ in range(10)], np.repeat(once.wins, 10),
        {"length": np.repeat(once.differences["length"], 10)},
    )  # fmt: skip
    assert controlled_win_rate(often).error == pytest.approx(
        controlled_win_rate(once).error, rel=0.05
    )


def test_what_cannot_be_controlled() -> None:
    n = 5
    wins = np.array([0, 1, 0.5, 1, 0])
    with pytest.raises(ValueError, match="all 5 pairs differ in length by 3"):
        controlled_win_rate(Contest(range(n), wins, {"length": np.full(n, 3.0)}))
    with pytest.raises(ValueError, match="is no number"):
        controlled_win_rate(Contest(range(n), wins, {"length": np.full(n, np.nan)}))
    with pytest.raises(ValueError, match="mine: 1 comparisons are too few"):
        controlled_win_rates({"mine": Contest(["a"], np.array([1.0]), {})})
    with pytest.raises(ValueError, match="differ in length"):
        Contest(range(4), wins, {})
    with pytest.raises(ValueError, match="a win is"):
        Contest(range(n), wins + 0.5, {})
    one, other = Contest(range(n), wins, {}), Contest(range(n), wins, {"bold": wins})
    with pytest.raises(ValueError, match="same differences"):
        fit_difficulty({"a": one, "b": other})
    with pytest.raises(ValueError, match="same differences"):
        controlled_win_rates({"a": one, "b": other})
    items = Contest(["a"] * n, wins, {"length": np.arange(5.0)})
    alone = controlled_win_rate(items)  # one item shows no spread
    assert math.isnan(alone.rate.low)
    assert math.isnan(alone.effects["length"].high)


@pytest.mark.parametrize("module", [alpaca_eval, controlled, style, win_rates])
def test_examples_say_what_happens(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0
