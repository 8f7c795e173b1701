"""The simulated fleet, held against closed forms where there are some."""

from __future__ import annotations

import math
from random import Random

import pytest

from heed.planning.fleet import (
    AHEAD,
    POLICIES,
    SYNCHRONOUS,
    Fleet,
    Learner,
    Lengths,
    Policy,
    lognormal,
    simulate,
)

LEARNER = Learner(batch=12, seconds=5.0, sync=1.0)
FLEET = Fleet(endpoints=2, slots=3, token=0.1)


def always(tokens: float) -> Lengths:
    return lambda _: tokens


def exponential(mean: float) -> Lengths:
    return lambda rng: rng.expovariate(1 / mean)


def test_without_variance_or_failures_a_round_takes_exactly_what_it_takes() -> None:
    """Twelve answers in two waves of six, 10 s each, and 6 s of learning."""
    found = simulate(FLEET, LEARNER, SYNCHRONOUS, always(100), rounds=5)
    assert found.hourly == pytest.approx(3600 / 26)
    assert found.trainer_idle == pytest.approx(20 / 26)
    assert found.fleet_idle == pytest.approx(6 / 26)
    assert (found.staleness, found.lost, found.thrown) == ({0: 60}, 0, 0)
    assert found.length == pytest.approx(100)


@pytest.mark.parametrize("tokens", [100, 10])
@pytest.mark.parametrize("policy", [each for each in POLICIES if each.staleness])
def test_what_goes_on_side_by_side_takes_the_longer_of_both(policy: Policy, tokens: int) -> None:
    found = simulate(FLEET, LEARNER, policy, always(tokens), rounds=40)
    assert found.hourly == pytest.approx(3600 / max(0.2 * tokens, 6), rel=0.04)
    assert max(found.staleness) <= policy.staleness


def test_one_endpoint_with_one_slot_draws_in_turn() -> None:
    found = simulate(Fleet(1, 1, 0.1), LEARNER, SYNCHRONOUS, exponential(30), rounds=400, seed=1)
    assert 3600 / found.hourly == pytest.approx(12 * 3 + 6, rel=0.02)


def test_a_round_waits_for_the_longest_of_its_answers() -> None:
    """The expected maximum of n exponentials is H_n times their mean."""
    fleet = Fleet(endpoints=3, slots=4, token=0.1)
    found = simulate(fleet, LEARNER, SYNCHRONOUS, exponential(100), rounds=4000)
    harmonic = sum(1 / n for n in range(1, 13))
    assert 3600 / found.hourly == pytest.approx(10 * harmonic + 6, rel=0.02)


def test_a_failure_begins_an_answer_anew() -> None:
    """Work of s seconds that failures of rate r undo, each costing R, takes (e^rs - 1)(1/r + R)."""
    fleet = Fleet(endpoints=1, slots=1, token=0.1, mtbf=20.0, restart=7.0)
    alone = Learner(batch=1, seconds=0.0, sync=0.0)
    found = simulate(fleet, alone, SYNCHRONOUS, always(100), rounds=8000)
    expected = (math.exp(10 / 20) - 1) * (20 + 7)
    assert 3600 / found.hourly == pytest.approx(expected, rel=0.03)
    assert found.lost / 8000 == pytest.approx(math.exp(10 / 20) - 1, rel=0.05)


def test_failures_lose_no_answer() -> None:
    fleet = Fleet(endpoints=3, slots=2, token=0.1, mtbf=60.0, restart=10.0)
    for policy in POLICIES:
        found = simulate(fleet, LEARNER, policy, lognormal(60, 0.8, 300), rounds=50)
        assert sum(found.staleness.values()) == 50 * LEARNER.batch
        assert max(found.staleness) <= policy.staleness
        assert found.lost > 0
        assert found.thrown == 0 or not policy.in_order


def test_one_round_ahead_is_one_round_old_whatever_fails() -> None:
    fleet = Fleet(endpoints=2, slots=3, token=0.1, mtbf=60.0, restart=10.0)
    found = simulate(fleet, LEARNER, AHEAD, lognormal(60, 0.8), rounds=20)
    assert found.staleness == {1: 20 * LEARNER.batch}
    assert found.mean_staleness == 1.0


def test_first_come_prefers_short_answers() -> None:
    """What is thrown away because it is late is long; in order nothing is."""
    fleet, lengths = Fleet(endpoints=4, slots=8, token=0.1), lognormal(60, 1.0)
    late, fair = (
        simulate(fleet, LEARNER, Policy("", 1, in_order=in_order), lengths, rounds=400)
        for in_order in (False, True)
    )
    assert late.thrown > 0 == fair.thrown
    assert fair.length == pytest.approx(60, rel=0.05)
    assert late.length < 0.93 * fair.length


def test_a_seed_is_a_simulation() -> None:
    def run(seed: int) -> float:
        return simulate(FLEET, LEARNER, AHEAD, lognormal(60, 0.8), rounds=5, seed=seed).hourly

    assert run(0) == run(0) != run(1)


def test_lengths_have_the_mean_that_is_asked_for() -> None:
    rng, lengths = Random(0), lognormal(200.0, 0.8)
    assert sum(lengths(rng) for _ in range(50_000)) / 50_000 == pytest.approx(200, rel=0.02)
    assert lognormal(7.0, 0.0)(rng) == pytest.approx(7.0)
    assert lognormal(7.0, 3.0, most=5.0)(Random(1)) <= 5.0
