"""What a comparison of policies can be asked for, and what it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from heed.config import dump_recipe, load_recipe
from heed.errors import UserError
from heed.recipe import Compare

ANEW = ("compare.evaluate=null", "compare.records=records")


def refusal(*overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load_recipe("quickstart", overrides)
    return " ".join(str(caught.value).split())


def test_the_quickstart_compares_by_gold_and_its_reward() -> None:
    recipe = load_recipe("quickstart")
    stage = recipe.stage("compare")
    assert isinstance(stage, Compare)
    assert stage.judges.names == ["gold", "reward"]
    assert stage.inputs() == ["evaluate", "reward"]
    earlier = {each.name: each for each in recipe.stages}
    assert stage.against(stage.source(earlier)) == "sft"
    assert list(stage.labelled(stage.source(earlier))) == ["base", "sft", "dpo", "ppo"]


def test_a_judge_and_people_are_asked_beside(tmp_path: Path) -> None:
    judged = "compare.judges={gold: true, model: {policy: sft, name: own}, people: {per_item: 2}}"
    recipe = load_recipe("quickstart", [judged])
    stage = recipe.stage("compare")
    assert isinstance(stage, Compare)
    assert stage.judges.names == ["gold", "own", "people"]
    assert stage.inputs() == ["evaluate", "sft"]
    path = tmp_path / "recipe.yaml"
    path.write_text(dump_recipe(recipe))
    assert load_recipe(str(path)).stage("compare") == stage


def test_policies_sampled_anew() -> None:
    anew = [*ANEW, "compare.policies={new: ppo, old: sft}"]
    stage = load_recipe("quickstart", anew).stage("compare")
    assert isinstance(stage, Compare)
    assert stage.inputs() == ["ppo", "sft", "records", "reward"]
    assert stage.against(None) == "new"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["compare.judges.gold=false", "compare.judges.rewards=[]"], "nobody judges"),
        (["compare.judges.rewards=[reward, reward]"], "two judges have one name"),
        (["compare.judges.model={policy: sft, name: people}"], "somebody else's name"),
        (["compare.judges.model={name: x}"], "judges.model.policy"),
        (["compare.judges.people={order: mixed}"], "leave them out"),
        (["compare.judges.rewards=[sft]"], "sft stages score none"),
        (["compare.baseline=leash"], "none of the compared: base, sft, dpo, ppo"),
        (["compare.evaluate=collect"], "collect stages keep none"),
        (["compare.policies={a: sft, b: ppo}"], "leave policies out, or set evaluate to null"),
        (["compare.records=records"], "leave records out"),
        ([*ANEW, "compare.policies={a: sft}"], "two or more"),
        (["compare.evaluate=null", "compare.policies={a: sft, b: ppo}"], "two or more"),
        ([*ANEW, "compare.policies={'decoy: a': sft, b: ppo}"], "only decoys are called so"),
    ],
)  # fmt: skip
def test_what_is_refused(overrides: list[str], words: str) -> None:
    assert words in refusal(*overrides)
