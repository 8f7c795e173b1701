"""What the stages dpo and kto take: every loss its own settings, and none that it would ignore."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from heed.cli.main import app
from heed.config import dump_recipe, load_recipe
from heed.errors import UserError
from heed.recipe import LOSSES, Dpo, Kto, LossName

RECIPE = """\
name: mine
stages:
  - records
  - pretrain
  - sft
  - collect
  - dpo: {SETTINGS}
  - kto: {KTO}
"""


def written(folder: Path, settings: str = "", kto: str = "") -> str:
    path = folder / "mine.yaml"
    path.write_text(RECIPE.replace("SETTINGS", settings).replace("KTO", kto))
    return str(path)


def read(folder: Path, settings: str, *overrides: str) -> Dpo:
    stage = load_recipe(written(folder, settings), overrides).stage("dpo")
    assert isinstance(stage, Dpo)
    return stage


def test_the_default_is_dpo_as_ever(tmp_path: Path) -> None:
    stage = read(tmp_path, "")
    assert (stage.loss, stage.beta, stage.sft_coef, stage.own) == ("dpo", 0.1, 0.0, {})


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_has_defaults_of_its_own(loss: LossName, tmp_path: Path) -> None:
    facts, stage = LOSSES[loss], read(tmp_path, f"loss: {loss}")
    assert (stage.beta, stage.sft_coef) == (facts.beta, facts.sft_coef)
    assert stage.own == facts.own
    other = read(tmp_path, f"loss: {loss}, beta: 0.7, sft_coef: 0.3")
    assert (other.beta, other.sft_coef, other.own) == (0.7, 0.3, facts.own)
    recipe = load_recipe(written(tmp_path, f"loss: {loss}"))
    copy = tmp_path / "copy.yaml"
    copy.write_text(dump_recipe(recipe))
    assert load_recipe(str(copy)) == recipe


def test_the_names_are_those_of_the_table() -> None:
    assert get_args(LossName) == tuple(LOSSES)


def test_own_settings_reach_the_loss(tmp_path: Path) -> None:
    assert read(tmp_path, "loss: simpo, gamma: 0.3").own == {"gamma": 0.3}
    assert read(tmp_path, "", "dpo.loss=robust", "dpo.smoothing=0.3").own == {"smoothing": 0.3}
    assert read(tmp_path, "loss: odpo, offset: 2.0").own == {"offset": 2.0}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("beta: 0.0", "'beta' cannot be 0.0: input should be greater than 0"),
        ("beta: -0.1", "'beta' cannot be -0.1"),
        ("loss: simpo, beta: 0", "'beta' cannot be 0"),
        ("loss: dop", "'loss' cannot be 'dop'"),
        ("loss: [dpo]", "'loss' cannot be ['dpo']"),
        ("gamma: 0.5", "the loss dpo has no gamma; leave it out, or set loss to simpo"),
        ("smoothing: 0.1", "the loss dpo has no smoothing; leave it out, or set loss to cdpo or"),
        ("loss: simpo, smoothing: 0.1", "the loss simpo has no smoothing"),
        ("loss: ipo, offset: 1.0", "the loss ipo has no offset; leave it out, or set loss to odpo"),
        ("loss: cdpo, smoothing: 0.5", "'smoothing' cannot be 0.5: input should be less than 0.5"),
        ("loss: robust, smoothing: -0.1", "'smoothing' cannot be -0.1"),
        ("loss: odpo, offset: 0.0", "'offset' cannot be 0.0"),
        ("loss: simpo, gamma: -1.0", "'gamma' cannot be -1.0"),
        ("loss: simpo, gamma: null", "the loss simpo needs gamma; set it, or leave it out"),
        ("sft_coef: -1.0", "'sft_coef' cannot be -1.0"),
        ("lambda: 1.0", "unknown key 'lambda'"),
    ],
)
def test_what_a_loss_would_ignore_or_cannot_take(tmp_path: Path, settings: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, settings)
    assert said in str(caught.value)
    assert "mine.yaml, line 7: " in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("beta: 0.0", "'beta' cannot be 0.0"),
        ("desirable_coef: 0.0", "'desirable_coef' cannot be 0.0"),
        ("undesirable_coef: -1.0", "'undesirable_coef' cannot be -1.0"),
        ("batch: 1", "'batch' cannot be 1: input should be greater than or equal to 2"),
        ("gamma: 1.0", "unknown key 'gamma'"),
    ],
)
def test_what_kto_cannot_take(tmp_path: Path, settings: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        load_recipe(written(tmp_path, kto=settings))
    assert said in str(caught.value)
    assert isinstance(load_recipe(written(tmp_path)).stage("kto"), Kto)


@pytest.mark.parametrize("override", ["dpo.beta=0.0", "dpo.gamma=1.0", "kto.beta=-1.0"])
def test_the_command_line_refuses_before_it_makes_anything(tmp_path: Path, override: str) -> None:
    out = tmp_path / "run"
    words = ["run", written(tmp_path), "--out", str(out), "--set", override]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert f"--set {override}" in result.stderr or "mine.yaml, line 7" in result.stderr
    assert not out.exists()
