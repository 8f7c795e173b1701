"""Rounds: what the stages of each are called and read from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from heed.config import dump_recipe, load_recipe
from heed.errors import UserError
from heed.recipe import STAGES, Collect, Dpo, Ppo, Recipe, Reward

BEFORE = """\
name: mine
stages:
  - records
  - pretrain
  - sft
"""
ROUNDS = """\
  - rounds:
      times: 3
      stages:
        - collect: {comparisons: 100}
        - reward
        - ppo: {kl: {coef: 0.2}}
"""


NEEDED: dict[str, dict[str, Any]] = {
    "exact": {"answers": "answers.jsonl"},
    "maths": {"answers": "answers.jsonl"},
    "regex": {"pattern": "a"},
    "format": {"pattern": "a"},
    "length": {"most": 9},
    "function": {"call": "mine.py:score"},
    "weighted_sum": {"weights": {"reward": 1.0, "length": 0.5}},
    "gate": {"by": "correct"},
    "process_reward": {"labels": "steps.jsonl"},
    "system_prompt": {"text": "Be brief."},
    "retrieval": {"demonstrations": "records"},
}
"""Settings that a stage cannot do without."""


def load(folder: Path, text: str, *overrides: str) -> Recipe:
    path = folder / "mine.yaml"
    path.write_text(text)
    return load_recipe(str(path), overrides)


def refusal(folder: Path, text: str, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load(folder, text, *overrides)
    return str(caught.value)


@pytest.mark.parametrize("kind", STAGES)
def test_every_stage_that_is_read_can_be_renamed(kind: str) -> None:
    stage = STAGES[kind].model_validate({"name": kind, **NEEDED.get(kind, {})})
    inputs = stage.inputs()
    assert stage.renamed(lambda name: f"{name}!").inputs() == [f"{name}!" for name in inputs]
    assert stage.renamed(lambda name: name) == stage


def test_a_judge_and_lists_of_stages_are_renamed_too() -> None:
    stage = Collect.model_validate(
        {"source": "judge", "judge": {"policy": "sft"}, "policies": ["sft", "base"],
         "disagreement": ["one", "two"]}
    )  # fmt: skip
    assert stage.renamed(str.upper).inputs() == ["SFT", "BASE", "RECORDS", "ONE", "TWO", "SFT"]
    assert stage.renamed(str.upper).judge.name == "judge"


def test_each_round_starts_from_the_policy_of_the_one_before(tmp_path: Path) -> None:
    recipe = load(tmp_path, BEFORE + ROUNDS)
    assert [stage.name for stage in recipe.stages] == [
        "records", "pretrain", "sft",
        "collect-1", "reward-1", "ppo-1",
        "collect-2", "reward-2", "ppo-2",
        "collect-3", "reward-3", "ppo-3",
    ]  # fmt: skip
    for number, current in enumerate(("sft", "ppo-1", "ppo-2"), start=1):
        collect, reward, ppo = (
            recipe.stage(f"{kind}-{number}") for kind in ("collect", "reward", "ppo")
        )
        assert isinstance(collect, Collect)
        assert isinstance(reward, Reward)
        assert isinstance(ppo, Ppo)
        assert (collect.policies, reward.policy, ppo.policy) == ([current], current, current)
        assert ppo.reward == f"reward-{number}"
        assert ppo.records == "records"
        assert reward.comparisons == [f"collect-{past}" for past in range(1, number + 1)]


def test_comparisons_of_the_round_alone_or_beside_earlier_ones(tmp_path: Path) -> None:
    own = load(tmp_path, BEFORE + ROUNDS, "rounds.comparisons=latest").stage("reward-2")
    assert isinstance(own, Reward)
    assert own.comparisons == ["collect-2"]
    given = BEFORE + "  - collect: {name: first}\n" + ROUNDS
    both = load(tmp_path, given, "reward.comparisons=[first, collect]").stage("reward-2")
    assert isinstance(both, Reward)
    assert both.comparisons == ["first", "collect-1", "collect-2"]


def test_what_stands_later_is_of_the_round_before(tmp_path: Path) -> None:
    block = """\
  - collect: {name: first}
  - rounds: {times: 3, stages: [reward: {comparisons: [first, collect]}, ppo, collect]}
"""
    recipe = load(tmp_path, BEFORE + block)
    rewards = [recipe.stage(f"reward-{number}") for number in (1, 2, 3)]
    assert [stage.inputs() for stage in rewards] == [
        ["sft", "first", "records"],
        ["ppo-1", "first", "collect-1", "records"],
        ["ppo-2", "first", "collect-1", "collect-2", "records"],
    ]
    assert recipe.stages[-1].inputs() == ["ppo-2", "records"]
    latest = load(tmp_path, BEFORE + block, "rounds.comparisons=latest").stage("reward-3")
    assert latest.inputs() == ["ppo-2", "first", "collect-2", "records"]
    said = refusal(tmp_path, BEFORE + block.replace("[first, collect]", "collect"))
    assert "in the first round nothing is compared before 'reward'" in said


def test_iterative_dpo(tmp_path: Path) -> None:
    text = BEFORE + "  - rounds: {times: 2, improved: dpo, stages: [collect, dpo]}\n"
    last = load(tmp_path, text).stage("dpo-2")
    assert isinstance(last, Dpo)
    assert (last.policy, last.comparisons) == ("dpo-1", ["collect-1", "collect-2"])


def test_overrides_reach_rounds_and_their_stages(tmp_path: Path) -> None:
    recipe = load(
        tmp_path, BEFORE + ROUNDS, "rounds.times=2", "ppo.kl.coef=0.3", "reward.epochs=2.0"
    )
    assert recipe.stages[-1].name == "ppo-2"
    for number in (1, 2):
        ppo, reward = recipe.stage(f"ppo-{number}"), recipe.stage(f"reward-{number}")
        assert isinstance(ppo, Ppo)
        assert isinstance(reward, Reward)
        assert (ppo.kl.coef, reward.epochs) == (0.3, 2.0)


def test_a_recipe_with_rounds_is_written_stage_by_stage(tmp_path: Path) -> None:
    recipe = load(tmp_path, BEFORE + ROUNDS)
    assert load(tmp_path, dump_recipe(recipe)) == recipe


@pytest.mark.parametrize(
    ("line", "becomes", "said"),
    [
        ("times: 3", "times: 0", "line 7: 'times' cannot be 0"),
        ("times: 3", "tiems: 3", "line 7: unknown key 'tiems'. Did you mean 'times'?"),
        ("times: 3", "improved: dpo", "line 6: rounds: improved names the stage of the rounds"),
        ("times: 3", "start: ppo", "line 6: rounds: start names a policy from before the rounds"),
        ("times: 3", "start: pretrain", "no stage of the rounds reads from 'pretrain'"),
        ("coef: 0.2", "koef: 0.2", "line 11: unknown key 'kl.koef'. Did you mean 'coef'?"),
        ("        - reward\n", "        - rewards\n", "line 10: no stage is called 'rewards'"),
        ("        - reward\n", "", "line 10: 'ppo-1' reads from 'reward'"),
        ("  - rounds:", "  - round:", "line 6: no stage is called 'round'. Did you mean 'rounds'?"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(
    tmp_path: Path, line: str, becomes: str, said: str
) -> None:
    text = BEFORE + ROUNDS
    assert line in text
    assert said in refusal(tmp_path, text.replace(line, becomes))


def test_rounds_of_nothing(tmp_path: Path) -> None:
    assert "`stages` is empty" in refusal(tmp_path, BEFORE + "  - rounds\n")
    assert "`stages` is a list" in refusal(tmp_path, BEFORE + "  - rounds: {stages: ppo}\n")
    assert "no key and no stage 'ppp'" in refusal(tmp_path, BEFORE + ROUNDS, "ppp.kl.coef=1")


def test_chosen_answers_of_all_rounds_are_imitated_like_all_comparisons(tmp_path: Path) -> None:
    chosen = "        - sft: {name: chosen, policy: sft, comparisons: collect}\n"
    text = BEFORE + ROUNDS + chosen
    recipe = load(tmp_path, text)
    assert recipe.stage("chosen-1").inputs() == ["sft", "collect-1"]
    assert recipe.stage("chosen-3").inputs() == ["ppo-2", "collect-1", "collect-2", "collect-3"]
    latest = load(tmp_path, text.replace("times: 3", "times: 3\n      comparisons: latest"))
    assert latest.stage("chosen-3").inputs() == ["ppo-2", "collect-3"]
    plain = text.replace("{name: chosen, policy: sft, comparisons: collect}", "{name: plain}")
    assert load(tmp_path, plain).stage("plain-3").inputs() == ["pretrain", "records"]
