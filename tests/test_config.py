"""Recipes: what is read, what is refused, and what the refusal says."""

from __future__ import annotations

from pathlib import Path

import pytest

from heed.config import dump_recipe, load_recipe, recipe_names
from heed.errors import UserError
from heed.recipe import WORLD_PEOPLE, Collect, Ppo, Pretrain
from heed.world.world import World

GOOD = """\
name: mine
stages:
  - records
  - pretrain:
      optim: {lr: 1e-3}
  - sft
  - collect: {comparisons: 100}
  - reward:
  - ppo:
      kl: {coef: 0.2}
  - ppo: {name: ppo-loose, kl: {coef: 0.0}}
"""


def written(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text)
    return str(path)


def refusal(folder: Path, text: str, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load_recipe(written(folder, text), overrides)
    return str(caught.value)


def test_reads_stages_in_order_with_their_settings(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path, GOOD))
    assert [stage.name for stage in recipe.stages] == [
        "records", "pretrain", "sft", "collect", "reward", "ppo", "ppo-loose",
    ]  # fmt: skip
    pretrain, collect, ppo = (recipe.stage(name) for name in ("pretrain", "collect", "ppo"))
    assert isinstance(pretrain, Pretrain)
    assert pretrain.optim.lr == 1e-3  # 1e-3 without a dot is a number
    assert isinstance(collect, Collect)
    assert collect.comparisons == 100
    assert isinstance(ppo, Ppo)
    assert (ppo.kl.coef, ppo.gamma, ppo.lam) == (0.2, 1.0, 0.95)


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_survive_being_written_and_read(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description
    assert load_recipe(written(tmp_path, dump_recipe(recipe))) == recipe


def test_overrides_reach_recipe_and_stages(tmp_path: Path) -> None:
    recipe = load_recipe(
        written(tmp_path, GOOD),
        ["seed=3", "world.seed=4", "ppo.kl.coef=0.1", "ppo-loose.iterations=7", "reward.epochs=2.0",
         "pretrain.architecture.hidden_size=64", "model=null"],
    )  # fmt: skip
    assert (recipe.seed, recipe.world.seed, recipe.model) == (3, 4, None)
    ppo, loose = recipe.stage("ppo"), recipe.stage("ppo-loose")
    assert isinstance(ppo, Ppo)
    assert isinstance(loose, Ppo)
    assert (ppo.kl.coef, loose.kl.coef, loose.iterations) == (0.1, 0.0, 7)


@pytest.mark.parametrize(
    ("line", "becomes", "said"),
    [
        ("{coef: 0.2}", "{coeff: 0.2}", "line 10: unknown key 'kl.coeff'. Did you mean 'coef'?"),
        ("{coef: 0.2}", "{coef: much}", "mine.yaml, line 10: 'kl.coef' cannot be 'much'"),
        ("{coef: 0.2}", "{coef: -1.0}", "greater than or equal to 0"),
        ("{coef: 0.2}", "0.5", "mine.yaml, line 10: 'kl' cannot be 0.5"),
        ("- sft", "- stf", "mine.yaml, line 6: no stage is called 'stf'. Did you mean 'sft'?"),
        ("- sft", "- sft: 3", "mine.yaml, line 6: the settings of 'sft' are a mapping"),
        ("- sft", "- {sft: {}, dpo: {}}", "mine.yaml, line 6: a stage is"),
        ("- sft", "- records", "two stages are named 'records'"),
        ("- sft", "- sft: {policy: base}", "reads from 'base', but no stage of that name"),
        ("- sft", "- sft: {epochs: 1, epochs: 2}", "mine.yaml, line 6: 'epochs' stands here twice"),
        ("name: mine", "seeed: 1\nname: mine", "line 1: unknown key 'seeed'. Did you mean 'seed'?"),
        ("name: mine", "seed: 1", "the key 'name' is missing"),
        ("name: mine", "name: mine\nseed: one", "line 2: 'seed' cannot be 'one'"),
        ("{coef: 0.2}", "{coef: 0.2}\n      minibatches: 900", "ppo: 128 rollouts cannot be cut"),
        ("{coef: 0.2}", "{coef: 0.2}\n      sampling: {temperature: 0.0}", "samples the same"),
        ("{coef: 0.2}", "{coef: 0.2}\n      sampling: {top_k: 5}", "likeliest tokens"),
        ("name: mine", "name: mine\ndata: x.jsonl", "line 8: the stage 'collect' asks simulated"),
        ("name: mine", "name: [", "mine.yaml, line 3: not valid YAML"),
        ("name: mine", "name: \x07", "not valid YAML"),
        ("  - records", "  - records: {zzz: 1}", "Valid: name, corpus, demonstrations, heldout"),
    ],
)  # fmt: skip
def test_names_key_line_and_nearest(tmp_path: Path, line: str, becomes: str, said: str) -> None:
    assert line in GOOD
    assert said in refusal(tmp_path, GOOD.replace(line, becomes, 1))


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://heed:S3CRET@db/heed",
        "postgresql+psycopg://heed:S3/CRET@db/heed",
        "postgresql://heed@db/heed?password=S3CRET",
        "postgresql://heed@db/heed?sslmode=require&sslpassword=S3CRET",
    ],
)
def test_a_store_with_a_password_is_refused_without_showing_it(
    tmp_path: Path, address: str
) -> None:
    asked = GOOD.replace("{comparisons: 100}", f"{{people: {{store: '{address}'}}}}")
    override = f"collect.people.store={address}"
    for told, place in (
        (refusal(tmp_path, asked), "mine.yaml, line 7: "),
        (refusal(tmp_path, GOOD, override), "--set collect.people.store=postgresql"),
    ):
        assert place in told
        assert "PGPASSWORD" in told
        assert "~/.pgpass" in told
        assert "CRET" not in told
    for wrong in (f"colect.people.store={address}", f"collect.people.stor={address}"):
        assert "CRET" not in refusal(tmp_path, GOOD, wrong)


def test_a_judge_s_address_with_a_password_is_refused_without_showing_it(tmp_path: Path) -> None:
    address = "https://heed:S3CRET@judge.example/v1"
    asked = f"{{source: judge, judge: {{address: '{address}', model: m}}}}"
    told = refusal(tmp_path, GOOD.replace("{comparisons: 100}", asked))
    assert "judge.address holds a user or a password" in told
    assert "judge.key" in told
    assert "CRET" not in told


@pytest.mark.parametrize("store", ["labels.db", "postgresql://heed@db:5432/heed?sslmode=require"])
def test_a_store_without_a_password_is_taken(tmp_path: Path, store: str) -> None:
    recipe = load_recipe(written(tmp_path, GOOD), [f"collect.people.store={store}"])
    collect = recipe.stage("collect")
    assert isinstance(collect, Collect)
    assert collect.people.store == store


@pytest.mark.parametrize(
    "settings",
    ["weights: reliability", "weights: reliability, source: judge, judge: {policy: sft}",
     "weights: reliability, source: people",
     "weights: reliability, source: people, people: {gold: g.jsonl, gold_rate: 0.0}",
     "disagreement: [reward]", "people: {order: mixed}"],
)  # fmt: skip
def test_a_way_of_asking_that_can_have_no_effect_is_refused(tmp_path: Path, settings: str) -> None:
    said = refusal(tmp_path, GOOD.replace("comparisons: 100", settings))
    assert "mine.yaml, line 7: collect: " in said
    assert any(words in said for words in ("set per_item to 2", "name two", "go by disagreement",
                                           "goes by disagreement"))  # fmt: skip


def test_no_more_simulated_annotators_an_item_than_there_are(tmp_path: Path) -> None:
    many = GOOD.replace("{comparisons: 100}", "{per_item: 17}")
    told = refusal(tmp_path, many)
    assert "mine.yaml, line 7: the stage 'collect' asks 17 simulated annotators" in told
    assert "16 live in the embedded world" in told
    assert "--set collect.per_item=17: " in refusal(tmp_path, GOOD, "collect.per_item=17")
    for enough in ("collect.per_item=16", "collect.source=people"):
        load_recipe(written(tmp_path, many), [enough])
    assert len(World(0).annotators()) == WORLD_PEOPLE


def test_habits_of_nobody_are_refused(tmp_path: Path) -> None:
    settings = "annotators: {spammers: 16, left_bias: 1.0}"
    said = refusal(tmp_path, GOOD.replace("comparisons: 100", settings))
    assert "left_bias does nothing where all are spammers" in said


@pytest.mark.parametrize("text", ["", "- a list", "just words"])
def test_a_recipe_is_a_mapping(tmp_path: Path, text: str) -> None:
    assert "a recipe is a mapping" in refusal(tmp_path, text)


def test_stages_are_a_list(tmp_path: Path) -> None:
    assert "`stages` is a list" in refusal(tmp_path, "name: mine\nstages: {sft: {}}\n")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "ppo.kl.coeff=1.0",
            "--set ppo.kl.coeff=1.0: unknown key 'kl.coeff'. Did you mean 'coef'?",
        ),
        ("poo.kl.coef=1.0", "no key and no stage 'poo'. Did you mean 'ppo'?"),
        ("ppo.kl.coef", "write it as key.key=value"),
        ("=3", "write it as key.key=value"),
        ("ppo=3", "name a setting of the stage"),
        ("seed=x", "--set seed=x: 'seed' cannot be 'x'"),
        ("sft.epochs=[", "--set sft.epochs=[, line 1: not valid YAML"),
    ],
)
def test_a_wrong_override_names_itself(tmp_path: Path, override: str, said: str) -> None:
    assert said in refusal(tmp_path, GOOD, override)


def test_an_unknown_recipe_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="quickstart"):
        load_recipe("quickstrat")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="Cannot read the recipe"):
        load_recipe(str(binary))


def test_needed_for_keeps_the_stages_read_from(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path, GOOD))
    names = [stage.name for stage in recipe.needed_for("reward").stages]
    assert names == ["records", "pretrain", "sft", "collect", "reward"]
    with pytest.raises(KeyError):
        recipe.stage("dpo")


def test_an_optional_group_of_settings_knows_its_keys(tmp_path: Path) -> None:
    said = refusal(tmp_path, GOOD.replace("- sft", "- sft: {lora: {rnk: 8}}"))
    assert "unknown key 'lora.rnk'. Did you mean 'rank'?" in said


def test_an_unknown_key_within_a_list_is_named() -> None:
    principle = "{name: n, critique: c, revise: r, prefer: p, prefre: x}"
    with pytest.raises(UserError, match=r"principles\.0\.prefre'.* Did you mean 'prefer'"):
        load_recipe("quickstart", [f"collect.constitution.principles=[{principle}]"])


def test_a_dumped_recipe_keeps_the_order_of_what_it_names() -> None:
    """The order of policies is that of the report, and part of the evaluation's key."""
    recipe = load_recipe("quickstart")
    text = dump_recipe(recipe)
    assert "policies: {base: pretrain, sft: sft, dpo: dpo, ppo: ppo}" in text


def test_a_gate_is_known_by_its_name_and_switched_off_by_yaml_s_own_word(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown key 'gates\.sing'\. Did you mean 'sign'\?"):
        load_recipe("quickstart", ["gates.sing.action=warn"])
    with pytest.raises(UserError, match=r"'gates\.sign\.action' cannot be 'stop'"):
        load_recipe("quickstart", ["gates.sign.action=stop"])
    recipe = load_recipe("quickstart", ["gates.sign.action=off"])
    assert recipe.gates.sign.action == "off"
    path = tmp_path / "written.yaml"
    path.write_text(dump_recipe(recipe))
    assert load_recipe(str(path)) == recipe
    with pytest.raises(UserError, match="false_alarms does nothing with action off"):
        load_recipe("quickstart", ["gates.sign={action: off, false_alarms: 0.02}"])
    with pytest.raises(UserError, match="every does nothing without a reward to ask"):
        load_recipe("quickstart", ["gates.overoptimisation.every=2"])
