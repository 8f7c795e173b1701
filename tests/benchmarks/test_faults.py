from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.faults import crowds, replays
from benchmarks.faults.catalogue import FAULTS
from benchmarks.faults.fault import Rate
from benchmarks.faults.figure import draw
from heed.recipe import Gates
from heed.world.annotators import SimulatedAnnotator
from heed.world.world import World


def test_a_crowd_of_numbers_is_the_crowd_of_people() -> None:
    """Choices have the probabilities of `SimulatedAnnotator`, which have tests of their own."""
    where, people = crowds.pool("heldout"), crowds.crowd(3, spammers=4, left_bias=0.7)
    world = World(0)
    rng = np.random.default_rng(0)
    pair = rng.integers(0, len(where.pairs), 400)
    person = rng.integers(0, 16, 400)
    left, right = crowds.chances(where, people, pair, person, np.ones(400, dtype=bool))
    assert ((left + right) <= 1 + 1e-12).all()
    for at in range(400):
        one = SimulatedAnnotator(people.people[person[at]], world.gold, 3)
        expected = one.probability_left(where.pairs[pair[at]])
        assert left[at] / (left[at] + right[at]) == pytest.approx(expected)
        undecided = 1 - left[at] - right[at]
        assert (undecided == 0) == one.person.spammer
    swapped = crowds.chances(where, people, pair, person, np.zeros(400, dtype=bool))
    assert not np.allclose(swapped[1], left)  # people lean to the left


def test_labels_are_of_the_sizes_asked_for() -> None:
    where = crowds.pool("train")
    said = crowds.ask(where, crowds.crowd(0), 1000, np.random.default_rng(0), per_item=4)
    assert 900 <= len(said.pair) <= 1000
    some = said.pair == said.pair[0]
    assert len(set(said.person[some].tolist())) == some.sum() <= 4


@pytest.mark.parametrize("name", FAULTS)
def test_the_strongest_is_caught_and_clean_data_pass(name: str) -> None:
    fault = FAULTS[name]
    assert fault.gate in Gates.model_fields
    assert fault.clean not in fault.strengths
    strongest = max(fault.strengths, key=lambda x: abs(x - fault.clean))
    for strength, tripped in ((strongest, True), (fault.clean, False)):
        for seed in range(3):
            found = fault.replay(strength, np.random.default_rng(seed))
            assert found is not None
            assert found.gate == fault.gate
            assert found.tripped is tripped


def test_exact_intervals() -> None:
    assert Rate(0, 1000).interval == pytest.approx((0.0, 1 - 0.025 ** (1 / 1000)))
    assert Rate(950, 1000).interval == pytest.approx((0.9346, 0.9627), abs=1e-4)


def _found(strength: float, hits: int) -> dict[str, object]:
    return {"strength": strength, "tripped": Rate(hits, 1000).to_json(), "statistic": 1.0}


def test_caught_from_the_weakest_beyond_which_all_are() -> None:
    clean = _found(1.0, 3)
    faulty = [_found(*each) for each in ((0.5, 1000), (0.8, 930), (1.2, 990), (1.5, 940), (2, 999))]
    assert replays.certain({"clean": clean, "faulty": faulty}) == [2, 0.5]
    assert replays.certain({"clean": clean, "faulty": faulty[:2][1:]}) == []


def test_a_study_is_kept_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replays.study("flipped_sign", (0.05, 0.25), 60, 1, tmp_path)
    found = json.loads((tmp_path / "flipped_sign.json").read_text())
    assert found["clean"]["tripped"]["hits"] == 0
    assert found["faulty"][1]["tripped"]["n"] == 60
    assert [each["fault"] for each in replays.kept(tmp_path)] == ["flipped_sign"]
    assert "| 0.05 |" not in capsys.readouterr().out
    again = replays.replay("flipped_sign", 0.25, 60, 1)
    assert again == found["faulty"][1]
    draw(replays.kept(tmp_path), tmp_path / "power.svg")
    assert "share of pairs it had right" in (tmp_path / "power.svg").read_text()
