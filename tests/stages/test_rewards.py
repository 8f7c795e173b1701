"""Rewards of every kind in a run: what is trained, what is measured, what answers by them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ARCHITECTURE
from transformers import AutoModelForSequenceClassification

from heed.config import load_recipe
from heed.errors import UserError
from heed.evaluation.accuracy import correctness
from heed.feedback.people import nobody
from heed.files import read_records
from heed.pipeline import run_recipe
from heed.run import Run
from heed.stages.ensemble import _member
from heed.stages.workplace import Workplace
from heed.stats.best_of_n import kl_bound
from heed.types import Comparison, Completion
from heed.world.world import World

SHORT = "sampling: {max_new_tokens: 16}"
LEARNED = f"batch: 16, calibration: 32, {SHORT}"
RECIPE = f"""\
name: rewards
threads: 1
device: cpu
stages:
  - records: {{corpus: 500, demonstrations: 64}}
  - pretrain: {{architecture: {ARCHITECTURE}, batch: 32, epochs: 3, optim: {{lr: 0.01}}}}
  - sft: {{epochs: 1, optim: {{lr: 0.003}}}}
  - collect: {{comparisons: 40, heldout: 24, answers: 3, {SHORT}}}
  - reward: {{loss: plackett_luce, {LEARNED}}}
  - ensemble: {{members: 2, checkpoint_every: 2, {LEARNED}}}
  - process_reward: {{labels: 'LABELS', batch: 4, context: 96, heldout: 0.3}}
  - correct: {{samples: 24, families: [arithmetic], comparisons: collect, {SHORT}}}
  - length: {{samples: 24, most: 6, comparisons: collect, {SHORT}}}
  - format: {{samples: 24, pattern: 'no answer is like this', {SHORT}}}
  - function: {{samples: 24, call: 'FUNCTION:question', {SHORT}}}
  - judge: {{samples: 8, unreadable: 5.0, retries: 0, max_new_tokens: 8, {SHORT},
            rubric: {{template: '{{conversation}} {{answer}}', marker: ''}}}}
  - weighted_sum: {{samples: 24, weights: {{ensemble: 1.0, length: 0.5}}, {SHORT}}}
  - gate: {{samples: 24, reward: weighted_sum, by: function, threshold: 1.0, {SHORT}}}
  - ppo: {{reward: gate, iterations: 2, rollouts: 8, {SHORT}}}
  - best_of_n: {{reward: weighted_sum, n: 4}}
  - rejection: {{reward: ensemble, rounds: 2, prompts: 8, candidates: 3, batch: 4, {SHORT}}}
  - grpo: {{reward: correct, families: [arithmetic], iterations: 2, rollouts: 16, {SHORT}}}
  - evaluate: {{policies: {{sft: sft, ppo: ppo, best_of_n: best_of_n, rejection: rejection}},
               reward: weighted_sum, also: {{right: correct, brief: length}}, samples: 8, {SHORT}}}
  - report
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("rewards")
    function = folder / "mine.py"
    body = "return [float('.' in each.text) for each in answers]"
    function.write_text(f"def question(answers):\n    {body}\n")
    recipe = folder / "rewards.yaml"
    labels = folder / "steps.jsonl"
    rows = [
        {"prompt": prompt.text, "steps": ["i do not know.", prompt.text], "right": [True, False]}
        for prompt in World(0).prompts[:12]
    ]
    labels.write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = RECIPE.replace("FUNCTION", str(function)).replace("LABELS", str(labels))
    recipe.write_text(text)
    run = Run(load_recipe(str(recipe)), folder / "run")
    run_recipe(run, say=lambda line: None)
    return run


@pytest.fixture
def work(finished: Run) -> Workplace:
    return Workplace(finished, print, lambda _: nobody)


def summary(run: Run, stage: str) -> dict[str, Any]:
    return run.stage(stage).done_summary()


@pytest.fixture
def answers(finished: Run) -> list[Completion]:
    return read_records(finished.directory / "evaluate" / "samples-sft.jsonl", Completion)


def test_an_ensemble_is_models_that_plain_transformers_loads(finished: Run) -> None:
    folder = finished.directory / "ensemble"
    heads = []
    for number in range(2):
        model = AutoModelForSequenceClassification.from_pretrained(
            folder / f"member-{number}" / "model"
        )
        assert model.config.num_labels == 1
        heads.append(model.score.weight)
    assert not torch.equal(*heads)
    assert not (folder / "member-2").exists()


def test_an_ensembles_accuracy_is_that_of_what_its_members_say(
    finished: Run, work: Workplace
) -> None:
    found = summary(finished, "ensemble")
    heldout = work.records("collect", "heldout", Comparison)
    accuracy = correctness(work.reward("ensemble"), heldout)
    assert found["accuracy"]["mean"] == pytest.approx(sum(accuracy) / len(accuracy))
    for number, own in enumerate(found["member_accuracy"]):
        one = work.learned_reward("ensemble", f"member-{number}/model", 512)
        right = correctness(one, heldout)
        assert own["mean"] == pytest.approx(sum(right) / len(right))
        assert own["low"] < own["mean"] < own["high"]
    assert found["scores_of_policy"]["mean"] == pytest.approx(-found["spread"], abs=1e-5)


def test_members_that_are_finished_are_not_trained_again(finished: Run) -> None:
    stage = finished.stage("ensemble")
    before = summary(finished, "ensemble")
    rows = (finished.directory / "metrics.jsonl").read_text()
    folder = finished.directory / "ensemble"
    kept = (folder / "member-0" / "model" / "model.safetensors").stat().st_mtime_ns
    weights = (folder / "member-1" / "model" / "model.safetensors").read_bytes()
    (folder / "done.json").unlink()  # killed in the second member, after its first checkpoint
    (folder / "member-1" / "done.json").unlink()
    run_recipe(finished, say=lambda line: None, only=finished.recipe.needed_for("ensemble"))
    assert (folder / "member-0" / "model" / "model.safetensors").stat().st_mtime_ns == kept
    assert (folder / "member-1" / "model" / "model.safetensors").read_bytes() == weights
    assert summary(finished, "ensemble") == before
    assert sorted((finished.directory / "metrics.jsonl").read_text()) == sorted(rows)
    assert _member(stage.stage, stage, 1).done() is not None  # type: ignore[arg-type]


def test_a_critic_starts_from_what_was_learned_or_from_the_policy(work: Workplace) -> None:
    policy = work.policy("sft")

    def first(module: torch.nn.Module) -> torch.Tensor:
        return next(parameter for name, parameter in module.named_parameters() if "q_proj" in name)

    member = work.reward_model("ensemble", "member-0/model")
    assert torch.equal(first(work.value_model("ensemble", "sft").backbone), first(member.backbone))
    for stage in ("correct", "gate", "judge"):
        value = work.value_model(stage, "sft")
        assert torch.equal(first(value.backbone), first(policy.model))
        assert not value.head.weight.any()


def test_written_rewards_say_what_they_measured(finished: Run, answers: list[Completion]) -> None:
    length = summary(finished, "length")
    assert length["samples"] == 24
    assert length["score"]["mean"] <= 0.0
    assert length["accuracy"]["n"] > 0
    assert 0.0 <= length["not_zero"] <= 1.0
    nothing = summary(finished, "format")
    assert nothing["notes"] == ["Each of 24 samples scores 0: nothing to learn from."]
    judged = summary(finished, "judge")["notes"]
    assert any("got no grade from the judge and score 5." in note for note in judged)


def test_a_stage_scores_as_its_settings_say(work: Workplace, answers: list[Completion]) -> None:
    world = World(0)
    right = [
        float(each.prompt.family == "arithmetic" and world.gold(each.prompt, each.text).correct)
        for each in answers
    ]
    assert work.reward("correct")(answers) == right
    total = work.reward("weighted_sum")(answers)
    parts = zip(work.reward("ensemble")(answers), work.reward("length")(answers), strict=True)
    assert total == pytest.approx([first + 0.5 * second for first, second in parts])
    gated = work.reward("gate")(answers)
    for each, score, before in zip(answers, gated, total, strict=True):
        assert score == pytest.approx(before if "." in each.text else -1.0, abs=1e-5)
    with pytest.raises(UserError, match="'sft' is no reward: sft stages score none"):
        work.reward("sft")


def test_a_reward_that_is_no_number_never_becomes_a_score(
    work: Workplace, answers: list[Completion], tmp_path: Path
) -> None:
    file = tmp_path / "nan.py"
    file.write_text("def question(answers):\n    return [float('nan') for _ in answers]\n")
    recipe = work.recipe
    function = recipe.stage("function").model_copy(update={"call": f"{file}:question"})
    stages = tuple(function if each.name == "function" else each for each in recipe.stages)
    run = Run(recipe.model_copy(update={"stages": stages}), work.run.directory)
    with pytest.raises(UserError, match=r"The reward 'function' gave nan\. Prompt"):
        replace(work, run=run).reward("gate")(answers)


def test_the_best_of_n_is_measured_with_its_bound(finished: Run, work: Workplace) -> None:
    folder = finished.directory / "evaluate"
    measures = json.loads((folder / "measures.json").read_text())
    bound = kl_bound(4)
    assert measures["kl_bounds"] == {"best_of_n": bound}
    own = read_records(folder / "samples-best_of_n.jsonl", Completion)
    table = measures["policies"]
    assert table["best_of_n"]["kl"]["mean"] == pytest.approx(bound, abs=1e-3)  # drawn from sft
    assert table["sft"]["kl"]["mean"] == pytest.approx(0.0, abs=1e-3)
    assert len(own) == len(read_records(folder / "samples-sft.jsonl", Completion))
    assert table["best_of_n"]["proxy"]["mean"] > table["sft"]["proxy"]["mean"]
    (note,) = [n for n in summary(finished, "evaluate")["notes"] if "KL" in n]
    assert note.startswith("The KL of best_of_n is an upper bound: log n - (n - 1) / n, ")
    assert f"{bound:.2f} nats" in note
    assert summary(finished, "best_of_n") == {"n": 4, "kl_bound": pytest.approx(bound)}


def test_a_process_reward_says_how_often_it_is_right(
    finished: Run, work: Workplace, answers: list[Completion]
) -> None:
    found = summary(finished, "process_reward")
    assert (found["solutions"], found["step_accuracy"]["n"]) == (8, 2 * 4)
    assert found["right_steps"]["mean"] == 0.5
    scores = work.reward("process_reward")(answers)
    assert all(0.0 <= score <= 1.0 for score in scores)
    member = work.reward_model("process_reward").backbone
    value = work.value_model("process_reward", "sft").backbone
    for ours, theirs in zip(value.parameters(), member.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_rankings_train_and_rejection_leaves_a_policy(finished: Run) -> None:
    rows = [
        json.loads(line) for line in (finished.directory / "metrics.jsonl").read_text().splitlines()
    ]
    ranked = [row for row in rows if row["stage"] == "reward"]
    assert all(math.isfinite(row["plackett_luce"]) for row in ranked)
    assert "heldout_accuracy" in ranked[-1]
    assert summary(finished, "rejection")["iterations"] == 2
    report = json.loads((finished.directory / "report.json").read_text())
    assert set(report["policies"]) == {"sft", "ppo", "best_of_n", "rejection"}
    assert report["reward_model"]["accuracy"]["n"] > 0


def test_what_is_measured_also_is_so_on_its_own_families(
    finished: Run, answers: list[Completion]
) -> None:
    measures = json.loads((finished.directory / "evaluate" / "measures.json").read_text())
    sums = [each for each in answers if each.prompt.family == "arithmetic"]
    gold = World(0).gold
    right = [gold(each.prompt, each.text).correct for each in sums]
    found = measures["policies"]["sft"]["right"]
    assert (found["mean"], found["n"]) == (pytest.approx(sum(right) / len(right)), len(sums))
    families = measures["families"]["sft"]
    assert [name for name, table in families.items() if "right" in table] == ["arithmetic"]
    assert all("brief" in table for table in families.values())
    assert measures["policies"]["sft"]["brief"]["n"] == len(answers)
    gaps = [gap for gap in measures["gaps"] if gap["measure"] == "right"]
    assert len(gaps) == 6


def test_a_policy_is_asked_about_its_families_and_says_how_much_is_right(finished: Run) -> None:
    lines = (finished.directory / "metrics.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["stage"] == "grpo"]
    assert len(rows) == 2
    for row in rows:  # every answer is to a sum: the check looks at all of them
        assert row["correct"] == pytest.approx(row["proxy"])
    assert all("correct" in row for row in map(json.loads, lines) if row["stage"] == "rejection")
