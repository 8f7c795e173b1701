"""lm-eval's tasks: refused without the package, asked by its own wrapper with it."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from heed.config import load_recipe
from heed.errors import UserError
from heed.evaluation.capability import _figures, capability, task_manager
from heed.models.language_model import LanguageModel
from heed.recipe import checks

HERE = importlib.util.find_spec("lm_eval") is not None
needs_it = pytest.mark.skipif(not HERE, reason="the package lm_eval is not installed")

QUESTIONS = [
    "good ?",
    "bad ?",
    "red green ?",
    "one two one ?",
    "blue ?",
    "maybe ?",
    "two ?",
    "red ?",
]
CHOICES = ["yes", "no"]
TASK = """\
task: heed_yes
dataset_path: json
dataset_kwargs: {data_files: {test: FILE}}
output_type: multiple_choice
test_split: test
doc_to_text: "{{q}}"
doc_to_choice: "{{choices}}"
doc_to_target: label
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""


def task_in(folder: Path) -> Path:
    rows = [{"q": q, "choices": CHOICES, "label": at % 2} for at, q in enumerate(QUESTIONS)]
    folder.mkdir()
    file = folder / "questions.json"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "questions.yaml").write_text(TASK.replace("FILE", str(file)))
    return folder


def test_without_the_package_its_tasks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"the package is not installed here\. Install it with"):
        load_recipe("quickstart", ["evaluate.lm_eval=[arc_easy]"])
    load_recipe("quickstart", [])


def test_a_folder_without_tasks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "find_spec", lambda name: object())
    with pytest.raises(UserError, match="does nothing without tasks"):
        load_recipe("quickstart", [f"evaluate.lm_eval_folder={tmp_path}"])
    named = ["evaluate.lm_eval=[heed_yes]", f"evaluate.lm_eval_folder={tmp_path}"]
    with pytest.raises(UserError, match=r"reads the file .*\*\.yaml"):
        load_recipe("quickstart", named)
    folder = task_in(tmp_path / "tasks")
    evaluate = load_recipe("quickstart", named).stage("evaluate")
    assert evaluate.files() == [str(folder / "questions.yaml")]  # its content is part of the key


def test_what_lm_eval_says_by_hand() -> None:
    found = {
        "results": {
            "arc": {
                "alias": "arc", "acc,none": 0.5, "acc_stderr,none": 0.1,
                "exact_match,strict": 0.25, "exact_match_stderr,strict": "N/A",
            },
            "group": {"alias": "group", "acc,none": 1},
        },
        "n-samples": {"arc": {"original": 50, "effective": 25}},
    }  # fmt: skip
    figures = dict(_figures(found))
    assert list(figures) == ["arc, acc", "arc, exact_match (strict)", "group, acc"]
    acc = figures["arc, acc"]
    assert (acc.mean, acc.n) == (0.5, 25)
    assert acc.high - acc.mean == pytest.approx(0.1959964)
    assert math.isnan(figures["arc, exact_match (strict)"].low)
    assert figures["group, acc"].n == 0


def likelier(policy: LanguageModel, question: str) -> int:
    """Which of the choices the model itself finds likelier after a question."""
    ids = policy.tokenizer(question, return_tensors="pt").input_ids
    with torch.no_grad():
        logits = policy.model(ids).logits[0, -1]
    return int(logits[policy.tokenizer.convert_tokens_to_ids(CHOICES)].argmax())


@needs_it
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_task_is_asked_of_a_loaded_model(
    tmp_path: Path, toy_lm: Callable[..., LanguageModel], seed: int
) -> None:
    folder, policy = task_in(tmp_path / "tasks"), toy_lm(seed)
    pad = policy.tokenizer.pad_token
    manager = task_manager(["heed_yes"], str(folder))
    figures = capability(policy, ["heed_yes"], manager, batch_size=3, seed=1)
    (name,) = figures
    assert name == "heed_yes, acc"
    found = figures[name]
    right = [likelier(policy, q) == at % 2 for at, q in enumerate(QUESTIONS)]
    assert (found.n, found.mean) == (8, sum(right) / 8)
    error = math.sqrt(found.mean * (1 - found.mean) / 7)
    assert found.high - found.mean == pytest.approx(1.959964 * error, abs=1e-6)
    assert policy.tokenizer.pad_token == pad


@needs_it
def test_what_it_does_not_know_or_cannot_read_is_said(
    tmp_path: Path, toy_lm: Callable[..., LanguageModel]
) -> None:
    with pytest.raises(UserError, match="lm-eval has no task 'nonsense'"):
        task_manager(["nonsense"], None)
    folder = task_in(tmp_path / "tasks")
    (folder / "questions.json").unlink()
    manager = task_manager(["heed_yes"], str(folder))
    with pytest.raises(UserError, match="lm-eval could not run heed_yes"):
        capability(toy_lm(), ["heed_yes"], manager, batch_size=8, seed=1)


@needs_it
def test_the_evaluation_leaves_them_beside_the_costs(
    tmp_path: Path, run_copy: Path, tiny_settings: list[str]
) -> None:
    from heed.cli.run import carry_out

    folder = task_in(tmp_path / "tasks")
    more = ["evaluate.lm_eval=[heed_yes]", f"evaluate.lm_eval_folder={folder}"]
    carry_out(load_recipe("quickstart", [*tiny_settings, *more]), run_copy, fresh=False)
    able = json.loads((run_copy / "evaluate/costs.json").read_text())["capability"]
    policies = json.loads((run_copy / "evaluate/measures.json").read_text())["policies"]
    assert able.keys() == policies.keys()
    assert all(table["heed_yes, acc"]["n"] == 8 for table in able.values())
    page = (run_copy / "report.html").read_text()
    assert "What it can still do" in page
    assert "heed_yes, acc" in page
