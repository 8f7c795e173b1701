"""What a recipe may say of rewards, and what is refused before a model is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from heed.config import load_recipe
from heed.errors import UserError
from heed.recipe import Ensemble, Recipe
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

FUNCTION = "def score(completions):\n    return [{} for _ in completions]\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that recipes name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "answers.jsonl").write_text('{"prompt": "a", "answer": "b"}\n')
    (tmp_path / "mine.py").write_text(FUNCTION.format("0.0"))
    return tmp_path


def read(*stages: str, data: str = "world") -> Recipe:
    file = Path("recipe.yaml")
    lines = "".join(f"  - {stage}\n" for stage in stages)
    file.write_text(BEFORE.replace("DATA", data) + lines)
    return load_recipe(str(file))


def test_rewards_are_named_by_any_stage() -> None:
    recipe = read(
        "ensemble", "correct", "length: {most: 20}", "exact: {answers: answers.jsonl}",
        "maths: {answers: answers.jsonl, families: [arithmetic], elsewhere: -1.0}",
        "regex: {pattern: a+}", "format: {pattern: a+}", "metre: {whole: true}",
        "function: {call: 'mine.py:score'}", "judge: {comparisons: collect}",
        "weighted_sum: {weights: {ensemble: 1.0, length: -0.5}}",
        "gate: {reward: weighted_sum, by: correct}", "ppo: {reward: gate}",
        "best_of_n: {reward: ensemble}", "rejection: {reward: maths}",
        "evaluate: {policies: {sft: sft, best: best_of_n}, reward: judge}",
    )  # fmt: skip
    assert recipe.stage("gate").inputs() == ["sft", "records", "weighted_sum", "correct"]
    assert recipe.stage("weighted_sum").inputs() == ["sft", "records", "ensemble", "length"]
    assert recipe.stage("judge").inputs() == ["sft", "records", "collect", "sft"]
    assert recipe.stage("best_of_n").inputs() == ["sft", "ensemble"]
    needed = recipe.needed_for("ppo").stages
    assert {"gate", "weighted_sum", "ensemble", "length", "correct"} <= {s.name for s in needed}
    assert "maths" not in {stage.name for stage in needed}
    ensemble = recipe.stage("ensemble")
    assert isinstance(ensemble, Ensemble)
    assert (ensemble.members, ensemble.combine, ensemble.penalty) == (4, "mean_minus_std", None)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (["ppo: {reward: sft}"], "'ppo' scores answers by 'sft', but sft stages score none; "
                                 r"name a reward \(reward\)"),
        (["best_of_n: {reward: collect}"], "by 'collect', but collect stages score none"),
        (["gate: {by: records}"], "by 'records', but records stages score none"),
        (["weighted_sum: {weights: {pretrain: 1.0}}"], "by 'pretrain', but pretrain stages"),
        (["evaluate: {policies: {sft: sft}, reward: sft}"], "'evaluate' scores answers by 'sft'"),
        (["collect: {name: c, disagreement: [reward, sft]}"], "'c' scores answers by 'sft'"),
        (["best_of_n", "ppo: {policy: best_of_n}"], "takes its policy from 'best_of_n'"),
        (["best_of_n", "evaluate: {policies: {sft: sft}, reference: best_of_n}"],
         "takes its reference from 'best_of_n'"),
        (["reward: {name: other, loss: plackett_luce, comparisons: records}"],
         r"learns from rankings \(loss plackett_luce\), but 'records' holds pairs only"),
        (["reward: {name: other, loss: plackett_luce, centring: 0.01}"], "leave it at 0 with loss"),
        (["process_reward: {labels: nowhere.jsonl}"], "reads the file 'nowhere.jsonl'"),
        (["process_reward: {labels: answers.jsonl, separator: ''}"], "'separator' cannot be ''"),
        (["ensemble: {members: 1}"], "'members' cannot be 1"),
        (["ensemble: {combine: minimum, penalty: 2.0}"], "leave it out with combine minimum"),
        (["correct: {elsewhere: -1.0}"], "families names none; leave it out"),
        (["exact: {answers: nowhere.jsonl}"], "reads the file 'nowhere.jsonl', but there is none"),
        (["exact: {answers: answers.jsonl, extract: '('}"], "extract is no regular expression"),
        (["regex: {pattern: '['}"], "pattern is no regular expression"),
        (["format: {pattern: '*'}"], "pattern is no regular expression"),
        (["length"], "length without bounds scores nothing"),
        (["length: {least: 5, most: 3}"], "no answer has at least 5 and at most 3 words"),
        (["function: {call: mine.score}"], "'call' cannot be 'mine.score'"),
        (["function: {call: 'other.py:score'}"], "reads the file 'other.py', but there is none"),
        (["judge: {judge: {policy: null}}"], "set judge.policy to a stage, or judge.address"),
        (["judge: {rubric: {template: 'Grade {answer}.'}}"], "the template has no {conversation}"),
        (["judge: {rubric: {template: '{conversation}{answer}{left}'}}"], "template has {left}"),
        (["weighted_sum: {weights: {}}"], "'weights' cannot be {}"),
        (["weighted_sum: {weights: {reward: 0.0}}"], "weights.reward is 0.0"),
        (["weighted_sum: {weights: {reward: .nan}}"], "weights.reward is nan"),
        (["best_of_n: {n: 1}"], "'n' cannot be 1"),
        (["rejection: {candidates: 1}"], "'candidates' cannot be 1"),
        (["rejection: {sampling: {temperature: 0.0}}"], "all candidates are the same answer"),
        (["rejection: {prompts: 8, batch: 16}"], "8 prompts a round do not fill a batch of 16"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(stages: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(*stages)


def test_only_the_world_knows_by_itself_what_is_right(folder: Path) -> None:
    (folder / "hh.jsonl").write_text("")
    text = BEFORE.replace("DATA", "hh.jsonl").replace("  - collect\n  - reward\n", "  - correct\n")
    Path("recipe.yaml").write_text(text)
    with pytest.raises(UserError, match="'correct' asks the embedded world what is right"):
        load_recipe("recipe.yaml")


def test_a_functions_content_is_part_of_its_key(folder: Path) -> None:
    recipe = read("function: {call: 'mine.py:score'}", "ppo: {reward: function}")
    before = stage_keys(recipe)
    (folder / "mine.py").write_text(FUNCTION.format("1.0"))
    after = stage_keys(recipe)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"function", "ppo"}
