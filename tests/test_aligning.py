"""From a model and preferences to a recipe: what fits is chosen, in the order of the rules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from own_model import pairs, save_model, write_rows

from heed import aligning
from heed.aligning import SPARE, Prepared, prepare
from heed.config import read_recipe
from heed.errors import UserError
from heed.planning.plan import Machine, memory_of

MACHINE = Machine(device="cpu", free=None, speed=None, process=1000)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str]]:
    folder = tmp_path_factory.mktemp("own")
    model = save_model(folder / "model")
    return str(model), [str(write_rows(folder / "mine.jsonl", pairs()))]


def most(prepared: Prepared) -> float:
    stages = prepared.recipe.stages
    return max(memory_of(prepared.ground, stage, MACHINE).total for stage in stages)


def with_free(monkeypatch: pytest.MonkeyPatch, free: float) -> None:
    monkeypatch.setattr(aligning, "machine_of", lambda *_: replace(MACHINE, free=round(free)))


def test_the_text_is_the_recipe_and_the_survey_what_was_read(own: tuple[str, list[str]]) -> None:
    model, prefs = own
    made = prepare(model, prefs, method="ppo", name="mine", seed=3, overrides=["ppo.kl.coef=0.2"])
    assert read_recipe("its own text", made.text) == made.recipe
    assert (made.recipe.name, made.recipe.seed, made.recipe.model) == ("mine", 3, model)
    assert made.recipe.stage("ppo").kl.coef == 0.2  # type: ignore[attr-defined]
    assert len(made.survey.comparisons) == len(pairs())
    settings = [reason.setting for reason in made.reasons]
    assert settings[:2] == ["method", "sft first"]
    assert len(settings) == len(set(settings))
    assert all(reason.why for reason in made.reasons)


def test_less_memory_splits_batches_first_and_takes_an_adapter_last(
    own: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, prefs = own

    def chosen(**wish: Any) -> Any:
        made = prepare(model, prefs, method="dpo", **wish)
        return made, made.recipe.stage("dpo")

    with_free(monkeypatch, 1e12)
    made, dpo = chosen()
    assert (dpo.lora, dpo.optim.micro_tokens) == (None, 4096)
    with_free(monkeypatch, most(made) / SPARE - 1)
    made, dpo = chosen()
    assert dpo.lora is None
    assert dpo.optim.micro_tokens < 4096
    with_free(monkeypatch, 10)
    made, dpo = chosen()
    assert dpo.lora is not None
    assert dpo.optim.micro_tokens == 512
    _, dpo = chosen(adapter="full")
    assert dpo.lora is None
    with_free(monkeypatch, 1e12)
    _, dpo = chosen(adapter="lora")
    assert (dpo.lora.rank, dpo.optim.micro_tokens) == (16, 4096)


def test_limits_of_the_users_count_in_the_rules(own: tuple[str, list[str]]) -> None:
    model, prefs = own
    made = prepare(model, prefs, overrides=["records.limit=20", "dpo.epochs=1.0"])
    why = {reason.setting: reason.why for reason in made.reasons}
    assert "of 20 different prompts" in why["records.heldout"]
    assert why["dpo.epochs"] == "as you set it"
    assert "about 2 steps" in why["dpo.batch"]


def test_what_cannot_be_read_is_said(own: tuple[str, list[str]], tmp_path: Path) -> None:
    model, prefs = own
    with pytest.raises(UserError, match="no model directory"):
        prepare(str(tmp_path / "none"), prefs)
    with pytest.raises(UserError, match="nowhere"):
        prepare(model, [str(tmp_path / "nowhere.jsonl")])
    with pytest.raises(UserError, match="no adapter 'qlora'"):
        prepare(model, prefs, adapter="qlora")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no preferences"):
        prepare(model, [])
