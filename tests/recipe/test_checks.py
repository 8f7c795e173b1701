"""Stages and data that do not go together are refused before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from heed.config import load_recipe
from heed.errors import UserError

CHAIN = """\
name: mine
stages:
  - records
  - pretrain
  - sft
  - collect
  - relabel: {name: truth, comparisons: collect}
  - reward: {name: weak, comparisons: truth}
  - length: {name: brief, most: 20}
  - relabel: {name: soft, comparisons: truth, reward: weak}
  - reward: {name: student, comparisons: soft, confidence: {alpha: 0.5}}
  - reward: {name: ceiling, comparisons: truth}
  - weak_to_strong: {comparisons: truth}
"""


@pytest.fixture
def chain(tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(CHAIN)
    return str(path)


def test_a_good_chain_is_read(chain: str) -> None:
    recipe = load_recipe(chain, ["sft.held_families=[verse, small_talk]"])
    assert recipe.stage("soft").inputs() == ["truth", "weak"]
    assert recipe.stage("truth").inputs() == ["collect"]
    assert recipe.stage("weak_to_strong").inputs() == ["weak", "student", "ceiling", "truth"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sft.held_families=[verses]", r"held_families.*no family 'verses'\. Did you mean 'verse'"),
        ("sft.held_families=[opera]", r"no family 'opera'\. Valid: facts, arithmetic"),
        ("soft.reward=sft", "'soft' scores answers by 'sft', but sft stages score none"),
        (
            "soft.reward=brief",
            "'soft' needs reward models, but 'brief' is a stage of kind 'length'",
        ),
        ("weak_to_strong.students=[sft]", "'weak_to_strong' needs reward models, but 'sft'"),
        ("weak_to_strong.weak=truth", "'truth' is a stage of kind 'relabel'"),
        ("weak_to_strong.students=[]", "students"),
        ("student.confidence={alpha: 0}", r"confidence\.alpha.*greater than 0"),
        ("student.confidence={alpha: 1.0}", r"confidence\.alpha.*less than 1"),
        ("student.confidence={warmup: 2.0}", r"confidence\.warmup"),
    ],
)
def test_a_bad_one_is_refused(chain: str, override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_recipe(chain, [override])


def test_gold_is_asked_in_the_world_alone(tmp_path: Path) -> None:
    path = tmp_path / "hh.yaml"
    path.write_text(
        "name: mine\ndata: some.jsonl\nstages:\n  - records\n  - pretrain\n  - sft\n"
        "  - relabel: {comparisons: records}\n"
    )
    with pytest.raises(UserError, match="gold reward, which only the embedded world has"):
        load_recipe(str(path))


def test_other_data_have_families_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "hh.yaml"
    path.write_text(
        "name: mine\ndata: some.jsonl\nstages:\n  - records\n  - pretrain\n"
        "  - sft: {held_families: [opera]}\n"
    )
    assert load_recipe(str(path)).stage("sft").held_families == ["opera"]  # type: ignore[attr-defined]


SHARED = """\
name: mine
stages:
  - records
  - pretrain
  - sft
  - collect
  - reward: {lora: {rank: 4}}
  - ensemble: {lora: {rank: 4}}
  - reward: {name: full}
  - reward: {name: elsewhere, policy: pretrain, lora: {rank: 4}}
  - length: {most: 20}
  - weighted_sum: {weights: {ensemble: 1.0, length: 0.5, reward: 1.0}}
  - gate: {reward: weighted_sum, by: full}
  - ppo: {lora: {share: true}}
  - rloo: {reward: weighted_sum, lora: {share: true}}
  - rejection: {reward: ensemble, lora: {share: true}}
  - dpo: {lora: {rank: 4}}
"""


@pytest.fixture
def shared(tmp_path: Path) -> str:
    path = tmp_path / "shared.yaml"
    path.write_text(SHARED)
    return str(path)


def test_a_base_can_be_shared_with_adapters_and_rewards_that_are_no_models(shared: str) -> None:
    load_recipe(shared)
    load_recipe(shared, ["ppo.reward=length"])  # the critic shares
    load_recipe(shared, ["ppo.reward=gate", "gate.by=length"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "ppo.reward=full",
            r"'full' was trained in full.*Give 'full' a `lora`, or leave lora\.share out",
        ),
        ("ppo.reward=gate", "'ppo' shares its base, but the reward 'full' was trained in full"),
        ("rloo.reward=elsewhere", r"base of 'sft'.*'elsewhere' is an adapter on 'pretrain'\. Set"),
        ("rejection.policy=pretrain", "base of 'pretrain', but the reward 'ensemble' is .*'sft'"),
        ("rloo.reward=length", r"'rloo' has nothing to share.*Leave lora\.share out\."),
        ("dpo.lora={share: true}", r"unknown key 'lora\.share'"),
        ("reward.lora={share: true}", r"unknown key 'lora\.share'"),
    ],
)
def test_a_base_that_cannot_be_shared_is_refused(shared: str, override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_recipe(shared, [override])


CHECKED = """\
name: checked
stages:
  - records
  - pretrain
  - sft
  - correct: {families: [arithmetic]}
  - metre: {families: [verse]}
  - grpo: {reward: correct, families: [arithmetic]}
  - rejection: {reward: metre, families: [verse, advice]}
  - evaluate: {policies: {sft: sft, grpo: grpo}, reward: correct, also: {metrical: metre}}
"""


@pytest.fixture
def checked(tmp_path: Path) -> str:
    path = tmp_path / "checked.yaml"
    path.write_text(CHECKED)
    return str(path)


def test_what_is_measured_also_is_read_from(checked: str) -> None:
    evaluate = load_recipe(checked).stage("evaluate")
    assert evaluate.rewards() == ["correct", "metre"]
    assert evaluate.inputs() == ["sft", "grpo", "correct", "metre", "records"]
    assert load_recipe(checked, ["grpo.families=[]"]).stage("grpo")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("grpo.families=[arithmetics]", r"families.*'arithmetics'\. Did you mean 'arithmetic'"),
        ("rejection.families=[opera]", r"no family 'opera'\. Valid: facts, arithmetic"),
        ("metre.families=[prose]", r"the recipe's world has no family 'prose'"),
        (
            "grpo.families=[verse]",
            r"'grpo' asks about verse, but its reward 'correct' looks at arithmetic only",
        ),
        ("evaluate.also={gold: metre}", r"also\.gold: gold is measured by itself"),
        ("evaluate.also={mine: sft}", r"scores answers by 'sft', but sft stages score none"),
        ("evaluate.also={mine: none}", r"none"),
        ("evaluate.policies={}", r"'policies' cannot be"),
        ("evaluate.policies={sft: sft, a/b: grpo}", r"policies\.a/b: .* can hold no /"),
    ],
)
def test_families_and_rewards_that_do_not_meet_are_refused(
    checked: str, override: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        load_recipe(checked, [override])


def test_the_families_of_other_data_are_known_when_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "hh.yaml"
    path.write_text(
        "name: mine\ndata: some.jsonl\nstages:\n  - records\n  - pretrain\n  - sft\n"
        "  - length: {most: 9}\n  - rloo: {reward: length, families: [opera]}\n"
    )
    assert load_recipe(str(path)).stage("rloo").families == ["opera"]  # type: ignore[attr-defined]


def test_several_seeds_evaluate_what_they_are_ranked_above() -> None:
    policies = "evaluate.policies={dpo: dpo}"
    load_recipe("quickstart", [policies])
    with pytest.raises(UserError, match="ranked by how far they stand above 'sft'"):
        load_recipe("quickstart", ["seeds=2", policies])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["evaluate.opinions=2", "world.families=[verse]"], "no questions to put a wrong opinion"),
        (["evaluate.opinions=0", "evaluate.probes={file}"], "probes are asked `opinions` times"),
        (["evaluate.probes={file}s"], "reads the file .*but there is none"),
        (["evaluate.opinions=-1"], "opinions"),
        (["evaluate.seen=-1"], "seen"),
    ],
)
def test_opinions_are_asked_where_there_is_something_to_ask(
    tmp_path: Path, overrides: list[str], message: str
) -> None:
    file = tmp_path / "probes.jsonl"
    file.write_text('{"prompt": "a", "wrong": "b"}')
    with pytest.raises(UserError, match=message):
        load_recipe("quickstart", [each.replace("{file}", str(file)) for each in overrides])
    with_file = [f"evaluate.probes={file}", "world.families=[verse]"]
    evaluate = load_recipe("quickstart", with_file).stage("evaluate")
    assert evaluate.files() == [str(file)]
    assert evaluate.wanted_opinions == 2  # type: ignore[attr-defined]
    load_recipe("quickstart", ["world.families=[verse]"])


BESIDE = """\
name: watched
gates: {overoptimisation: {reward: REWARD}}
stages:
  - records
  - pretrain
  - sft
  - collect
  - reward
  - reward: {name: other}
  - LEARNER
  - reward: {name: late}
"""


@pytest.mark.parametrize(
    ("learner", "reward", "message"),
    [
        ("ppo", "later", "no stage of that name comes before 'ppo'"),
        ("ppo", "late", "no stage of that name comes before 'ppo'"),
        ("ppo", "sft", "sft stages score no answers"),
        ("ppo", "reward", "'ppo' is trained on that one"),
        ("dpo", "other", "no policy gradient that the gate could watch"),
    ],
)
def test_a_reward_that_cannot_be_asked_beside_is_refused(
    tmp_path: Path, learner: str, reward: str, message: str
) -> None:
    path = tmp_path / "watched.yaml"
    path.write_text(BESIDE.replace("LEARNER", learner).replace("REWARD", reward))
    with pytest.raises(UserError, match=message):
        load_recipe(str(path))


def test_a_reward_beside_is_read_by_what_it_watches(tmp_path: Path) -> None:
    path = tmp_path / "watched.yaml"
    path.write_text(BESIDE.replace("LEARNER", "ppo").replace("REWARD", "other"))
    recipe = load_recipe(str(path))
    assert recipe.reads(recipe.stage("ppo"))[-1] == "other"
    assert recipe.reads(recipe.stage("sft")) == recipe.stage("sft").inputs()
    assert "other" in [stage.name for stage in recipe.needed_for("ppo").stages]


IN_ROUNDS = """\
name: watched
gates: {overoptimisation: {reward: other}}
stages:
  - records
  - pretrain
  - sft
  - rounds: {times: 2, stages: [collect, reward, {reward: {name: other}}, ppo]}
  - ppo: {name: once_more, reward: reward-2, policy: ppo-2}
"""


def test_in_rounds_each_asks_its_own_reward_beside(tmp_path: Path) -> None:
    path = tmp_path / "watched.yaml"
    path.write_text(IN_ROUNDS)
    recipe = load_recipe(str(path))
    watched = {"ppo-1": "other-1", "ppo-2": "other-2", "once_more": "other-2"}
    assert {name: recipe.beside(recipe.stage(name)) for name in watched} == watched
    assert recipe.reads(recipe.stage("ppo-1"))[-1] == "other-1"
    assert recipe.needed_for("ppo-1").stage("other-1").name == "other-1"
    # After the policy in its round: the first has none, later ones have that of the round before.
    path.write_text(
        IN_ROUNDS.replace("{reward: {name: other}}, ppo", "ppo, {reward: {name: other}}")
    )
    with pytest.raises(UserError, match="no stage of that name comes before 'ppo-1'"):
        load_recipe(str(path))
    path.write_text(IN_ROUNDS.replace("reward: other}", "reward: other-1}"))
    assert load_recipe(str(path)).beside(recipe.stage("ppo-2")) == "other-1"
    path.write_text(IN_ROUNDS.replace("reward: other}", "reward: reward}"))
    with pytest.raises(UserError, match="'ppo-1' is trained on that one"):
        load_recipe(str(path))
