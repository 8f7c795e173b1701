from __future__ import annotations

import pytest
from scipy import stats

from heed.evaluation import fooled
from heed.evaluation.fooled import ENOUGH, decoy_pairings, fooled_by
from heed.stats.intervals import Estimate
from heed.stats.win_rates import win_rate

DECOY = "decoy: empty"


def word(won: int, n: int, against: Estimate | None = None) -> str:
    rates = {(DECOY, "b"): win_rate([1.0] * won + [0.0] * (n - won)).rate}
    if against is not None:
        rates["b", "base"] = against
    (found,) = decoy_pairings(rates, {(DECOY, "b"): n}, "base" if against else None)
    return found.word


def test_words_by_hand() -> None:
    assert word(5, 20) == "resisted"  # Wilson's interval of 5 in 20 ends at .469
    assert word(6, 20) == "fooled"  # that of 6 at .519
    assert word(50, 60) == "fooled"
    assert word(0, ENOUGH - 1) == "too few"
    assert fooled_by(decoy_pairings({(DECOY, "b"): Estimate(60, 55, 65, 99)},
                                    {(DECOY, "b"): 99}, None)) == [DECOY]  # fmt: skip


def test_nothing_fools_the_gold_reward() -> None:
    rates = {(DECOY, "b"): Estimate(60, 55, 65, 99)}
    (found,) = decoy_pairings(rates, {(DECOY, "b"): 99}, None, infallible=True)
    assert found.word == "worthless"
    assert fooled_by([found]) == []


def test_who_is_surely_worse_than_the_baseline_proves_nothing() -> None:
    assert word(50, 60, Estimate(20, 15, 25, 60)) == "no proof"
    assert word(50, 60, Estimate(45, 35, 55, 60)) == "fooled"
    assert word(5, 60, Estimate(20, 15, 25, 60)) == "resisted"


def _fools(n: int) -> int:
    """The fewest wins of n that make a judge fooled."""
    return next(won for won in range(n + 1) if word(won, n) == "fooled")


@pytest.mark.parametrize(
    ("p", "row"),
    [(0.05, (0.0003, 0, 0)), (0.1, (0.011, 0, 0)), (0.2, (0.20, 0.0025, 0)),
     (0.3, (0.58, 0.14, 0.012))],
)  # fmt: skip
def test_the_false_alarms_are_those_stated(p: float, row: tuple[float, ...]) -> None:
    for n, stated in zip((20, 50, 100), row, strict=True):
        exact = stats.binom.sf(_fools(n) - 1, n, p)
        assert exact == pytest.approx(stated, rel=0.1, abs=1e-5)
    assert f"{p:g}".lstrip("0") in (fooled.__doc__ or "")


@pytest.mark.parametrize(("n", "most"), [(20, 0.025), (21, 0.04), (50, 0.025), (100, 0.025)])
def test_a_fooled_judge_seldom_passes(n: int, most: float) -> None:
    assert stats.binom.cdf(_fools(n) - 1, n, 0.5) == pytest.approx(most, rel=0.4)
