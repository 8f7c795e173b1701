from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.faults import runs
from benchmarks.faults.catalogue import FAULTS
from benchmarks.faults.plants import PLANTS
from heed.config import load_recipe


def result(fault: str, *tripped: str, code: int = 0, stopped: bool = False) -> dict[str, object]:
    rows = [{"gate": gate, "stage": "collect", "step": None} for gate in tripped]
    strength = None if fault == runs.CLEAN else 2.0
    found = {"fault": fault, "seed": 0, "strength": strength, "code": code, "stopped": stopped}
    found["tripped"] = rows
    return {**found, "caught": runs.caught(found)}


def test_every_fault_can_be_planted() -> None:
    assert set(PLANTS) == set(FAULTS)
    stages = [stage.name for stage in load_recipe(str(runs.RECIPE)).stages]
    for plant in PLANTS.values():
        assert plant.begins in stages
        load_recipe(str(runs.RECIPE), list(plant.settings(plant.strength)))


def test_a_seed_begins_with_its_clean_run() -> None:
    todo = runs.tasks(["side_lovers", runs.CLEAN], [3, 4], 0.0)
    assert [task.label for task in todo] == ["clean-3", "side_lovers-3", "clean-4", "side_lovers-4"]
    assert [task.strength for task in todo] == [None, 0.0, None, 0.0]
    assert runs.tasks(["side_lovers"], [0], None)[1].strength == PLANTS["side_lovers"].strength


def test_caught_by_its_own_gate_alone() -> None:
    assert runs.caught(result("side_lovers", "sides", "lengths"))
    assert not runs.caught(result("side_lovers", "lengths"))
    assert runs.caught(result("flipped_sign", "sign", code=2))
    with pytest.raises(RuntimeError, match="flipped_sign-0 ended with 1"):
        result("flipped_sign", "sign", code=1)


def test_a_clean_run_may_warn_but_not_stop() -> None:
    assert not result(runs.CLEAN, "sides")["caught"]
    assert result(runs.CLEAN, code=2)["caught"]
    assert result(runs.CLEAN, stopped=True)["caught"]


def test_the_table(tmp_path: Path) -> None:
    some = [result(runs.CLEAN), result(runs.CLEAN, "sides"), result("side_lovers", "sides"),
            result("side_lovers", "lengths", code=2)]  # fmt: skip
    for number, each in enumerate(some):
        (tmp_path / f"{number}.json").write_text(json.dumps(each))
    clean, lovers = runs.rows(tmp_path)
    assert clean == "| nothing |  |  | 2 |  | 0 | `sides` (1) |"
    assert "| 2 | units of felt difference | 2 | 1 of 2 [0.01, 0.99] `sides` | 1 | " in lovers
    assert lovers.endswith("| `lengths` (1) |")


@pytest.mark.slow
def test_a_flipped_sign_refuses_what_a_clean_run_passes(tmp_path: Path) -> None:
    runs.work(runs.tasks(["flipped_sign"], [0], None), tmp_path)
    clean, flipped = (
        json.loads((tmp_path / name).read_text())
        for name in ("clean-0.json", "flipped_sign-0-at-1.json")
    )
    assert (clean["code"], clean["caught"]) == (runs.FINE, False)
    assert (flipped["code"], flipped["caught"]) == (runs.REFUSED, True)
    gates = [row["gate"] for row in flipped["tripped"]]
    assert gates[0] == "sign"
    # Upside down, a reward may like exploits, too: by its rounding on processors with AMX it does.
    assert set(gates[1:]) <= {"exploits"}
    assert not (tmp_path / "work" / "flipped_sign-0").exists()
