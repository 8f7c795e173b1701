"""When gates are asked, and what follows from what they find; on runs in which nothing trains."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from heed.config import load_recipe
from heed.errors import UserError
from heed.feedback.people import nobody
from heed.gates.finding import Finding
from heed.pipeline import run_recipe
from heed.recipe import Gates, KlGate, Records
from heed.run import GATES, Run
from heed.stages import gates
from heed.stages.workplace import Workplace


def finding(*, tripped: bool, gate: str = "sign") -> Finding:
    return Finding(gate, 0.25, 0.5, 0.01, tripped, "Chosen answers score below rejected ones.")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stages of which the gate was asked; it trips at `records`."""
    names: list[str] = []

    def ask(_: Workplace, stage: Records, gate: Any) -> Finding:
        names.append(stage.name)
        return finding(tripped=stage.name == "records")

    monkeypatch.setattr(gates, "AFTER", {"sign": gates.After((Records,), ask)})
    return names


def start(folder: Path, *overrides: str) -> tuple[Run, list[str]]:
    path = folder / "gated.yaml"
    path.write_text(
        "name: gated\nthreads: 1\nstages:\n  - records: {corpus: 100, demonstrations: 40}\n"
        "  - pretrain: {batch: 32, architecture: {model_type: llama, hidden_size: 16, "
        "intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2, "
        "num_key_value_heads: 2, max_position_embeddings: 128}}\n"
    )
    return Run(load_recipe(str(path), overrides), folder / "run"), []


def test_a_stage_that_was_refused_keeps_what_it_made(tmp_path: Path, asked: list[str]) -> None:
    run, said = start(tmp_path)
    with pytest.raises(UserError, match="'pretrain' does not start: it reads from 'records'") as no:
        run_recipe(run, said.append)
    assert "gates.sign.action=warn" in str(no.value)
    assert "statistic 0.25, threshold 0.5" in str(no.value)
    assert any("gate sign (refuse): Chosen answers" in line for line in said)
    assert run.pending() == ["pretrain"]
    rows = run.stage("records").noted(GATES)
    assert [(row["step"], row["gate"], row["tripped"]) for row in rows] == [(None, "sign", True)]

    again, said = start(tmp_path, "gates.sign.action=warn")
    run_recipe(again, said.append)
    assert again.pending() == []
    assert said[0] == "records    done before"
    assert asked == ["records"]


def test_a_gate_that_is_off_asks_nothing(tmp_path: Path, asked: list[str]) -> None:
    run, said = start(tmp_path, "gates.sign.action=off")
    run_recipe(run, said.append)
    assert not asked
    assert not (tmp_path / "run/records" / GATES).exists()


def test_other_thresholds_are_asked_anew_of_what_is_finished(
    tmp_path: Path, asked: list[str]
) -> None:
    run, said = start(tmp_path, "gates.sign.action=warn")
    run_recipe(run, said.append)
    run_recipe(run, said.append)
    assert asked == ["records"]
    again, said = start(tmp_path, "gates.sign.action=warn", "gates.sign.false_alarms=0.02")
    assert again.pending() == []
    run_recipe(again, said.append)
    assert asked == ["records", "records"]
    assert len((tmp_path / "run/records" / GATES).read_text().splitlines()) == 1


def test_a_gate_that_had_nothing_to_say_is_not_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def ask(_: Workplace, stage: Records, gate: Any) -> None:
        asked.append(stage.name)

    monkeypatch.setattr(gates, "AFTER", {"sign": gates.After((Records,), ask)})
    for _ in range(2):
        run, said = start(tmp_path)
        run_recipe(run, said.append)
    assert asked == ["records"]
    assert not run.stage("records").noted(GATES)
    for _ in range(2):
        run, said = start(tmp_path, "gates.sign.false_alarms=0.02")
        run_recipe(run, said.append)
    assert asked == ["records", "records"]


def test_a_start_that_is_refused_trains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(_: Workplace, stage: Records, method: object, gate: Any) -> Finding:
        assert stage.name == "records"
        assert method == "the method"
        return finding(tripped=True)

    monkeypatch.setattr(gates, "BEFORE", {"sign": gates.Before((Records,), ask)})
    run, said = start(tmp_path)
    place = run.stage("records")
    place.start()
    for _ in range(2):  # begun again, it is asked again
        with pytest.raises(UserError, match="'records' does not start: at its start the gate"):
            gates.ask_before(Workplace(run, said.append, lambda _: nobody), place, "the method")
    assert [(row["step"], row["gate"]) for row in place.noted(GATES)] == [(0, "sign")]
    (place.directory / "checkpoints" / "last-000004").mkdir(parents=True)
    gates.ask_before(Workplace(run, said.append, lambda _: nobody), place, "the method")


def test_of_a_fast_collapse_the_last_policy_within_its_budget_is_kept(place: Any) -> None:
    """KL as `collapse` logged it: beyond the budget before any gate may trip."""
    kl = [0.0, 0.82, 2.4, 9.35, 16.74, 30.18, 34.0, 30.85, 28.61, 31.62, 46.45]
    said: list[str] = []
    recipe = SimpleNamespace(gates=Gates(kl=KlGate(action="stop")))
    work: Any = SimpleNamespace(recipe=recipe, say=said.append)
    run = place()
    keeper = gates.Keeper(work, run, iterations=60, every=50)
    rows = [{"kl": value} for value in kl]
    reasons = [keeper(step, row) for step, row in enumerate(rows, start=1)]
    assert [row.get(gates.AT_REST) for row in rows] == [1.0, 2.0, 3.0, 4.0, *[None] * 7]
    assert reasons[:-1] == [None] * 10
    assert "the gate 'kl' tripped" in str(reasons[-1])
    assert [(row["step"], row["tripped"]) for row in run.noted(GATES)] == [(11, True)]
    assert len(said) == 1
