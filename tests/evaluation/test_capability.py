"""lm-eval's tasks: refused without the package, asked by its own wrapper with it."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path

import pytest

from heed.config import load_recipe
from heed.errors import UserError
from heed.evaluation.capability import _figures, capability, task_manager
from heed.models.language_model import load_language_model
from heed.recipe import checks

HERE = importlib.util.find_spec("lm_eval") is not None
needs_it = pytest.mark.skipif(not HERE, reason="the package lm_eval is not installed")

TASK = """\
task: heed_sums
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
    rows = [
        {"q": f"what is {a} plus {b} ?", "choices": [str(a + b), str(a + b + 1)], "label": 0}
        for a in range(1, 5)
        for b in range(1, 5)
    ]
    folder.mkdir()
    file = folder / "sums.json"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "sums.yaml").write_text(TASK.replace("FILE", str(file)))
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
    named = ["evaluate.lm_eval=[heed_sums]", f"evaluate.lm_eval_folder={tmp_path}"]
    with pytest.raises(UserError, match=r"reads the file .*\*\.yaml"):
        load_recipe("quickstart", named)
    folder = task_in(tmp_path / "tasks")
    evaluate = load_recipe("quickstart", named).stage("evaluate")
    assert evaluate.files() == [str(folder / "sums.yaml")]  # its content is part of the key


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


@needs_it
def test_a_task_is_asked_of_a_loaded_model(
    tmp_path: Path, finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    folder = task_in(tmp_path / "tasks")
    policy = load_language_model(finished_run / "sft/policy", device="cpu", dtype="float32")
    pad = policy.tokenizer.pad_token
    manager = task_manager(["heed_sums"], str(folder))
    figures = capability(policy, ["heed_sums"], manager, batch_size=8, seed=1)
    (name,) = figures
    assert name == "heed_sums, acc"
    found = figures[name]
    assert found.n == 16
    assert 16 * found.mean == pytest.approx(round(16 * found.mean))  # a share of 16
    error = math.sqrt(found.mean * (1 - found.mean) / 15)
    assert found.high - found.mean == pytest.approx(1.959964 * error, abs=1e-6)
    assert policy.tokenizer.pad_token == pad
    again = capability(policy, ["heed_sums"], manager, batch_size=3, seed=1)
    assert again[name].mean == found.mean


@needs_it
def test_what_it_does_not_know_or_cannot_read_is_said(tmp_path: Path, finished_run: Path) -> None:
    with pytest.raises(UserError, match="lm-eval has no task 'nonsense'"):
        task_manager(["nonsense"], None)
    folder = task_in(tmp_path / "tasks")
    (folder / "sums.json").unlink()
    policy = load_language_model(finished_run / "sft/policy", device="cpu", dtype="float32")
    manager = task_manager(["heed_sums"], str(folder))
    with pytest.raises(UserError, match="lm-eval could not run heed_sums"):
        capability(policy, ["heed_sums"], manager, batch_size=8, seed=1)


@needs_it
def test_the_evaluation_leaves_them_beside_the_costs(
    tmp_path: Path, run_copy: Path, tiny_settings: list[str]
) -> None:
    from heed.cli.run import carry_out

    folder = task_in(tmp_path / "tasks")
    more = ["evaluate.lm_eval=[heed_sums]", f"evaluate.lm_eval_folder={folder}"]
    carry_out(load_recipe("quickstart", [*tiny_settings, *more]), run_copy, fresh=False)
    able = json.loads((run_copy / "evaluate/costs.json").read_text())["capability"]
    policies = json.loads((run_copy / "evaluate/measures.json").read_text())["policies"]
    assert able.keys() == policies.keys()
    assert all(table["heed_sums, acc"]["n"] == 16 for table in able.values())
    page = (run_copy / "report.html").read_text()
    assert "What it can still do" in page
    assert "heed_sums, acc" in page
