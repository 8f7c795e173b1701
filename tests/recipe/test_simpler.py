"""What a recipe may say of the simpler ways, and what is refused before a model is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from heed.config import dump_recipe, load_recipe
from heed.errors import UserError
from heed.recipe import Recipe, Sft
from heed.run import stage_keys

BEFORE = """\
name: mine
data: DATA
stages:
  - records
  - pretrain
  - sft
  - collect
  - reward
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that recipes name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("Paris is in France.\n")
    (tmp_path / "say.txt").write_text("Be brief.\n")
    return tmp_path


def read(*stages: str, data: str = "world", records: str = "records") -> Recipe:
    lines = "".join(f"  - {stage}\n" for stage in stages)
    text = BEFORE.replace("DATA", data).replace("- records\n", f"- {records}\n")
    Path("recipe.yaml").write_text(text + lines)
    return load_recipe("recipe.yaml")


def sft(recipe: Recipe, name: str) -> Sft:
    stage = recipe.stage(name)
    assert isinstance(stage, Sft)
    return stage


def test_simpler_ways_are_asked_by_others() -> None:
    recipe = read(
        "system_prompt: {text: Be brief.}",
        "system_prompt: {name: said, file: say.txt}",
        "retrieval: {name: shots, demonstrations: records}",
        "retrieval: {name: lookup, documents: records, k: 3, least: 0.5}",
        "retrieval: {name: notes, documents_file: notes.txt}",
        "reward_conditioned",
        "reward_conditioned: {name: again, policy: reward_conditioned}",
        "best_of_n: {policy: again}",
        "sft: {name: chosen, policy: sft, comparisons: collect}",
        "collect: {name: next, policies: [again, system_prompt, lookup]}",
        "evaluate: {policies: {sft: sft, said: said, again: again, chosen: chosen}}",
    )
    assert recipe.stage("shots").inputs() == ["sft", "records"]
    assert recipe.stage("notes").files() == ["notes.txt"]
    assert recipe.stage("again").inputs() == ["reward_conditioned", "reward", "records"]
    assert recipe.stage("chosen").inputs() == ["sft", "collect"]
    Path("written.yaml").write_text(dump_recipe(recipe))
    assert load_recipe("written.yaml") == recipe


def test_demonstrations_or_chosen_answers() -> None:
    recipe = read(
        "sft: {name: chosen, policy: sft, comparisons: [collect]}",
        "sft: {name: all, policy: sft, comparisons: collect, loss_on: all}",
        "sft: {name: spoken, policy: sft, comparisons: collect, turns: all}",
    )
    assert (sft(recipe, "sft").records, sft(recipe, "sft").turns) == ("records", "all")
    assert (sft(recipe, "chosen").records, sft(recipe, "chosen").turns) == (None, "last")
    assert (sft(recipe, "all").turns, sft(recipe, "spoken").turns) == ("all", "all")


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (["system_prompt"], "set text to what the system message says, or file"),
        (["system_prompt: {text: a, file: say.txt}"], "one of the two"),
        (["system_prompt: {text: ' '}"], "an empty text is the policy itself"),
        (["system_prompt: {file: nowhere.txt}"], "reads the file 'nowhere.txt'"),
        (["system_prompt: {text: a}", "ppo: {policy: system_prompt}"],
         "takes its policy from 'system_prompt', but system_prompt stages leave no weights"),
        (["system_prompt: {text: a}", "best_of_n: {policy: system_prompt}"], "leave no weights"),
        (["retrieval"], "name one of demonstrations, demonstrations_file, documents, documents_"),
        (["retrieval: {documents: records, demonstrations: records}"],
         "not demonstrations and documents"),
        (["retrieval: {documents: records, k: 0}"], "'k' cannot be 0"),
        (["retrieval: {documents: records, least: 1.0}"], "'least' cannot be 1.0"),
        (["retrieval: {documents: collect}"], "'retrieval' needs documents, which only"),
        (["retrieval: {documents_file: nowhere}"], "reads the file 'nowhere'"),
        (["reward_conditioned: {levels: 1}"], "'levels' cannot be 1"),
        (["reward_conditioned: {template: Good.}"], "the template says no level; put {level}"),
        (["reward_conditioned: {sampling: {temperature: 0.0}}"], "a prompt has one answer"),
        (["reward_conditioned: {samples: 8, batch: 16}"], "8 answers do not fill a batch of 16"),
        (["reward_conditioned: {reward: sft}"], "'reward_conditioned' scores answers by 'sft'"),
        (["reward_conditioned", "dpo: {policy: reward_conditioned}"],
         "'dpo' takes its policy from 'reward_conditioned', which is asked with its best level "
         "before the prompt, and dpo stages leave that out"),
        (["reward_conditioned", "reward: {name: r, policy: reward_conditioned}"], "leave that out"),
        (["reward_conditioned", "system_prompt: {policy: reward_conditioned, text: a}"],
         "system_prompt stages leave that out"),
        (["reward_conditioned",
          "evaluate: {policies: {sft: sft}, reference: reward_conditioned}"],
         "takes its reference from 'reward_conditioned'"),
        (["reward_conditioned", "revise: {speaker: {policy: reward_conditioned}}"],
         "'revise' speaks by 'reward_conditioned', but reward_conditioned stages leave no policy"),
        (["best_of_n", "judge: {judge: {policy: best_of_n}}"], "'judge' speaks by 'best_of_n'"),
        (["sft: {name: c, records: records, comparisons: collect}"], "leave one of them out"),
        (["sft: {name: c, comparisons: collect, loss_on: all, turns: last}"], "leave turns at all"),
        (["sft: {name: c, comparisons: []}"], "'c' names no stage in its comparisons"),
        (["dpo: {comparisons: []}"], "'dpo' names no stage in its comparisons; name a collect"),
        (["sft: {name: c, comparisons: reward}"], "'reward' holds no comparisons"),
        (["sft: {name: c, comparisons: records}"], "'records' holds no comparisons"),
        (["relabel", "sft: {name: c, comparisons: [collect, relabel]}"],
         "'relabel' chooses both answers of a pair"),
        (["collect: {name: tied, ties: half}", "sft: {name: c, comparisons: tied}"],
         r"'tied' counts a tie as half a win of both answers \(ties: half\). Name a collect"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(stages: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(*stages)


def test_only_a_world_of_facts_has_documents(folder: Path) -> None:
    asked = "records: {documents: 100}"
    assert read(records=asked).stage("records").documents == 100  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="'records' needs documents, which only the records of an"):
        read(records=asked, data="world\nworld: {families: [arithmetic]}")
    (folder / "hh.jsonl").write_text("")
    Path("recipe.yaml").write_text(
        "name: mine\ndata: hh.jsonl\nstages:\n  - records\n  - pretrain\n  - sft\n"
        "  - retrieval: {documents: records}\n"
    )
    with pytest.raises(UserError, match="'retrieval' needs documents"):
        load_recipe("recipe.yaml")


def test_chosen_answers_of_transcripts_are_comparisons(folder: Path) -> None:
    (folder / "hh.jsonl").write_text("")
    Path("recipe.yaml").write_text(
        "name: mine\ndata: hh.jsonl\nstages:\n  - records\n  - pretrain\n"
        "  - sft: {comparisons: records}\n"
    )
    assert load_recipe("recipe.yaml").stage("sft").inputs() == ["pretrain", "records"]


def test_a_files_content_is_part_of_its_key(folder: Path) -> None:
    recipe = read("system_prompt: {file: say.txt}", "retrieval: {documents_file: notes.txt}")
    before = stage_keys(recipe)
    (folder / "say.txt").write_text("Be long.\n")
    (folder / "notes.txt").write_text("Rome is in Italy.\n")
    after = stage_keys(recipe)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"system_prompt", "retrieval"}
