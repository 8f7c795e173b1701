"""The stages dpo and kto within a run: what they read, what they keep, what they refuse."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from heed.cli.run import carry_out
from heed.config import load_recipe
from heed.errors import UserError
from heed.files import read_records, write_records
from heed.recipe import LOSSES, Dpo, Kto, Lora, Recipe, TrainingStage
from heed.stages import workplace
from heed.types import Annotation, Comparison, Unpaired


@pytest.fixture
def extended(tiny_settings: list[str], run_copy: Path) -> Any:
    """Run further stages after those of a finished run; returns their recipe."""

    def run(*stages: TrainingStage) -> Recipe:
        recipe = load_recipe("quickstart", tiny_settings)
        recipe = recipe.model_copy(update={"stages": (*recipe.stages, *stages)})
        for stage in stages:
            carry_out(recipe, run_copy, fresh=False, only=stage.name)
        return recipe

    return run


def rows(run: Path, stage: str) -> list[dict[str, Any]]:
    found = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [row for row in found if row["stage"] == stage]


def kept(run: Path, stage: str) -> list[str]:
    return sorted(path.name for path in (run / stage / "reference").glob("*"))


def refuses(*_: Any, **__: Any) -> None:
    raise AssertionError("no reference is to be made here")


def test_every_loss_runs_with_what_the_recipe_says(
    extended: Any, run_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, facts in LOSSES.items():
        with monkeypatch.context() as patch:
            if not facts.reference:
                patch.setattr(workplace, "Reference", refuses)
            extended(Dpo(name=name, loss=name, batch=16))
        assert kept(run_copy, name) == (["comparisons", "heldout"] if facts.reference else [])
        logged = rows(run_copy, name)
        assert ("nll" in logged[0]) == bool(facts.sft_coef)
        assert "heldout_accuracy" in logged[-1]
        AutoModelForCausalLM.from_pretrained(run_copy / name / "policy")
    assert rows(run_copy, "hinge")[0]["preference"] == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("stage", [Dpo(name="again", batch=16), Kto(name="again", batch=32)])
def test_the_reference_is_computed_once(
    extended: Any, run_copy: Path, stage: TrainingStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage that goes on, here from its beginning, takes what was kept."""
    extended(stage)
    before = rows(run_copy, "again")
    weights = (run_copy / "again" / "policy" / "model.safetensors").read_bytes()
    (run_copy / "again" / "done.json").unlink()
    for folder in ("checkpoints", "policy"):
        (run_copy / "again" / folder).rename(run_copy / folder)
    monkeypatch.setattr(workplace, "Reference", refuses)
    extended(stage)
    assert rows(run_copy, "again") == before
    assert (run_copy / "again" / "policy" / "model.safetensors").read_bytes() == weights


def test_kto_reads_comparisons_and_answers_that_are_all_bad(extended: Any, run_copy: Path) -> None:
    collect = run_copy / "collect"
    said = read_records(collect / "annotations.jsonl", Annotation)
    bad = [each for each in said if each.verdict == "both_bad"]
    unpaired = read_records(collect / "unpaired.jsonl", Unpaired)
    assert len(unpaired) == 2 * sum(each.item.startswith("train") for each in bad)
    pairs = read_records(collect / "comparisons.jsonl", Comparison)
    more = [Unpaired(pairs[0].prompt, f"no {i}", False) for i in range(30)]
    write_records(collect / "unpaired.jsonl", more)
    extended(Kto(name="kto", batch=32))
    summary = json.loads((run_copy / "kto" / "done.json").read_text())["summary"]
    assert summary["answers"] == 2 * len(pairs) + 30
    assert (summary["desirable"], summary["undesirable"]) == (len(pairs), len(pairs) + 30)
    ratio = len(pairs) / (len(pairs) + 30)
    assert f"Desirable answers weigh {ratio:.2f} of the undesirable" in summary["notes"][0]
    assert f"Set desirable_coef to about {1 / ratio:.2f}." in summary["notes"][0]
    assert kept(run_copy, "kto") == ["heldout", "train"]
    first = rows(run_copy, "kto")[0]
    assert first["kto"] == pytest.approx(0.5, abs=1e-5)
    assert first["baseline"] == pytest.approx(0, abs=1e-5)
    assert "heldout_kto" in rows(run_copy, "kto")[-1]


def test_a_balanced_kto_has_no_note(extended: Any, run_copy: Path) -> None:
    (run_copy / "collect" / "unpaired.jsonl").unlink()  # as where comparisons were imported
    extended(Kto(name="kto", batch=32, lora=Lora(rank=2)))
    assert json.loads((run_copy / "kto" / "done.json").read_text())["summary"]["notes"] == []
    assert (run_copy / "kto" / "policy" / "adapter" / "adapter_config.json").exists()


@pytest.mark.parametrize("stage", [Dpo(name="more", loss="orpo"), Kto(name="more")])
def test_a_comparison_without_its_rejected_answer_is_refused_before_a_model_is_loaded(
    extended: Any, run_copy: Path, stage: TrainingStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = run_copy / "collect" / "comparisons.jsonl"
    first, *others = path.read_text().splitlines()
    row = json.loads(first)
    del row["rejected"]
    path.write_text("\n".join([json.dumps(row), *others]))
    monkeypatch.setattr("heed.stages.workplace.load_language_model", refuses)
    with pytest.raises(UserError, match=r"line 1: not a Comparison record \(field rejected\)"):
        extended(stage)


def test_an_offset_without_margins_is_refused_before_a_model_is_loaded(
    extended: Any, run_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = run_copy / "collect" / "comparisons.jsonl"
    pairs = read_records(path, Comparison)
    write_records(path, [replace(pair, margin=0.0) for pair in pairs])
    monkeypatch.setattr("heed.stages.workplace.load_language_model", refuses)
    with pytest.raises(UserError, match="odpo: the loss odpo goes by the margins"):
        extended(Dpo(name="odpo", loss="odpo"))
