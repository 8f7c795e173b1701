"""What the stage of proxy against gold may read from."""

from __future__ import annotations

from pathlib import Path

import pytest

from heed.config import load_recipe
from heed.errors import UserError

RECIPE = """\
name: mine
stages:
  - records
  - pretrain
  - sft
  - collect
  - reward
  - reward: {name: other}
  - ppo
  - rloo: {policy: pretrain}
  - grpo: {reward: other}
  - dpo
  - overoptimisation:
      proxies: {one: reward, two: other}
      runs: {leashed: ppo}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPE)
    return str(path)


def test_it_reads_the_start_the_rewards_and_the_trainings(recipe: str) -> None:
    stage = load_recipe(recipe, ["overoptimisation.runs.other=grpo"]).stage("overoptimisation")
    assert stage.inputs() == ["sft", "reward", "other", "ppo", "grpo", "records"]
    assert stage.renamed(str.upper).inputs() == [name.upper() for name in stage.inputs()]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("proxies={}", "proxies"),
        ("proxies.three=sft", "scores answers by 'sft', but sft stages score none"),
        ("runs.leashed=dpo", r"'dpo' \(runs.leashed\), but dpo stages follow no policy gradient"),
        ("runs.leashed=rloo", r"from 'sft', but 'rloo' \(runs.leashed\) began at 'pretrain'"),
        (
            "sampling.max_new_tokens=64",
            r"reads 'ppo' \(runs.leashed\), whose sampling.max_new_tokens is 32",
        ),
        ("proxies={'': reward, two: other}", "calls a proxy by an empty label"),
        ("samples=3", "samples"),
        ("sampling.temperature=0", "draws the same answer every time"),
        ("resamples=3", "resamples"),
    ],
)
def test_what_tells_nothing_is_refused(recipe: str, override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_recipe(recipe, [f"overoptimisation.{override}"])


def test_a_training_on_another_reward_is_refused(recipe: str) -> None:
    with pytest.raises(UserError, match=r"trained on 'other'; name that reward among the proxies"):
        load_recipe(
            recipe, ["overoptimisation.proxies={one: reward}", "overoptimisation.runs.leashed=grpo"]
        )


def test_gold_is_known_in_the_world_alone(tmp_path: Path) -> None:
    path = tmp_path / "talk.yaml"
    path.write_text(
        "name: mine\ndata: some.jsonl\nstages:\n  - records\n  - pretrain\n  - sft\n"
        "  - reward: {comparisons: records}\n  - overoptimisation\n"
    )
    with pytest.raises(UserError, match="gold reward, which only the embedded world has"):
        load_recipe(str(path))
