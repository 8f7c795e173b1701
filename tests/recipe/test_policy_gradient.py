"""Settings of policy gradients: defaults, and what is refused before a model is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from heed.cli.main import app
from heed.config import dump_recipe, load_recipe
from heed.errors import UserError
from heed.recipe import Grpo, Kl, Ppo, Recipe, Reinforce, Rloo

HEAD = """\
name: mine
stages:
  - records
  - pretrain
  - sft
  - collect
  - reward
"""


def recipe(folder: Path, *stages: str) -> Recipe:
    path = folder / "mine.yaml"
    path.write_text(HEAD + "".join(f"  - {stage}\n" for stage in stages))
    return load_recipe(str(path))


def test_defaults_are_the_papers(tmp_path: Path) -> None:
    found: list[Any] = list(recipe(tmp_path, "ppo", "rloo", "grpo", "reinforce").stages[5:])
    assert [type(stage) for stage in found] == [Ppo, Rloo, Grpo, Reinforce]
    assert [stage.kl.loss for stage in found] == [None, None, "k3", None]
    assert [stage.kl.coef for stage in found] == [0.05, 0.05, 0.04, 0.05]
    assert [stage.aggregation for stage in found[1:]] == ["token", "sequence", "token"]
    assert [stage.group for stage in found[1:]] == [4, 8, 1]
    assert [(stage.clip_low, stage.clip_high) for stage in found] == [(0.2, 0.2)] * 4
    assert all(stage.inputs() == ["sft", "reward", "records"] for stage in found)


def test_grpo_keeps_its_kl_loss_when_only_the_coefficient_is_set(tmp_path: Path) -> None:
    stage: Any = recipe(tmp_path, "grpo: {kl: {coef: 0.1}}").stage("grpo")
    assert (stage.kl.coef, stage.kl.loss) == (0.1, "k3")
    stage = recipe(tmp_path, "grpo: {kl: {coef: 0.1, loss: null}}").stage("grpo")
    assert stage.kl.loss is None


def test_all_variants_survive_being_written_and_read(tmp_path: Path) -> None:
    whole = recipe(
        tmp_path,
        "rloo: {lora: {rank: 4}, kl: {target: 2.0, horizon: 500}}",
        "grpo: {name: dr_grpo, std: false, aggregation: constant, kl: {coef: 0.0, loss: null}}",
        "grpo: {name: gspo, ratio: sequence, clip_low: 3e-4, clip_high: 4e-4, minibatches: 4}",
        "reinforce: {group: 4, kl: {loss: k2}}",
    )
    (tmp_path / "mine.yaml").write_text(dump_recipe(whole))
    assert load_recipe(str(tmp_path / "mine.yaml")) == whole


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        # OpenRLHF #1250: with one sample a prompt every advantage is 0, and the run looks healthy.
        ("rloo: {group: 1}", "rloo: group 1 leaves an answer nothing to be compared with"),
        ("grpo: {group: 1}", "set group to 2 or more, or use reinforce"),
        ("grpo: {group: 1, std: false}", "every advantage is 0"),
        ("reinforce: {rollouts: 1}", "reinforce: a round of one answer has nothing"),
        ("rloo: {group: 5}", "128 rollouts are no whole number of groups of 5; make rollouts"),
        ("rloo: {minibatches: 200}", "rloo: 128 rollouts cannot be cut into 200 minibatches"),
        ("grpo: {sampling: {temperature: 0.0}}", "grpo: at sampling.temperature 0"),
        ("grpo: {sampling: {top_p: 0.9}}", "leave sampling.top_p at 1"),
        ("rloo: {kl: {loss: k1}}", "rloo: k1 as a loss has a gradient of zero on average"),
        ("ppo: {kl: {loss: k1}}", "leave kl.loss at null, which puts k1 into the reward"),
        ("rloo: {kl: {loss: k4}}", "'kl.loss' cannot be 'k4'"),
        ("rloo: {kl: {coef: -0.1}}", "'kl.coef' cannot be -0.1"),
        ("rloo: {kl: {coef: 0.0, loss: k2}}", "kl.loss does nothing at kl.coef 0"),
        ("grpo: {kl: {coef: 0.0}}", "raise kl.coef or set kl.loss to null"),
        ("ppo: {kl: {coef: 0.0, target: 3.0}}", "kl.target does nothing at kl.coef 0"),
        ("rloo: {kl: {horizon: 100}}", "kl.horizon does nothing without kl.target"),
        ("rloo: {clip_high: 0.28}", "rloo: clip_high does nothing where a round is one optimiser"),
        ("grpo: {clip_low: 0.1}", "raise epochs or minibatches, or leave clip_low at 0.2"),
        ("grpo: {ratio: sequence}", "ratio does nothing where a round is one optimiser step"),
        ("ppo: {epochs: 1, minibatches: 1, value_clip: 0.1}", "ppo: value_clip does nothing"),
        ("rloo: {clip_low: 0.0}", "'clip_low' cannot be 0.0"),
        ("rloo: {aggregation: mean}", "'aggregation' cannot be 'mean'"),
        ("rloo: {std: true}", "unknown key 'std'"),
        ("ppo: {group: 4}", "unknown key 'group'"),
        ("rloo: {whiten_rewards: true}", "unknown key 'whiten_rewards'"),
        ("rloo: {policy: nobody}", "reads from 'nobody', but no stage of that name"),
    ],
)
def test_what_is_refused(tmp_path: Path, stage: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        recipe(tmp_path, stage)
    message = str(caught.value)
    assert said in message
    assert "\n" not in message
    assert "mine.yaml, line 8" in message


def test_the_command_ends_with_2_before_anything_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(HEAD + "  - rloo: {group: 1}\n")
    run = CliRunner().invoke(
        app, ["run", str(tmp_path / "mine.yaml"), "--out", str(tmp_path / "run")]
    )
    assert run.exit_code == 2
    assert not (tmp_path / "run").exists()


def test_kl_of_coefficient_0_is_no_leash_and_no_mistake() -> None:
    assert Kl(coef=0.0).loss is None
