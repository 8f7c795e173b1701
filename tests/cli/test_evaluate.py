"""`heed evaluate`: models, answers from files and policies of runs by one set of measures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from heed.cli.main import app
from heed.models.language_model import save_language_model
from heed.sampling.local import LocalSampler

runner = CliRunner()
HOSTILE = "<script>alert(1)</script>"
PAIRS = [
    {"prompt": "red green", "chosen": "yes good", "rejected": "no"},
    {"prompt": "red green", "chosen": "good", "rejected": "bad bad"},
    {"prompt": "blue one", "chosen": "maybe", "rejected": "no no"},
]


def evaluate(out: Path, *arguments: str) -> dict[str, Any]:
    result = runner.invoke(app, ["evaluate", *arguments, "--out", str(out)])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads((out / "evaluate.json").read_text())
    return {**found, "said": result.output, "page": (out / "evaluate.html").read_text()}


def refused(*arguments: str) -> str:
    result = runner.invoke(app, ["evaluate", *arguments])
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return " ".join(result.stderr.split())


@pytest.fixture
def model(tmp_path: Path, toy_lm: Callable[..., Any]) -> str:
    save_language_model(toy_lm(), tmp_path / "model")
    return str(tmp_path / "model")


@pytest.fixture
def prefs(tmp_path: Path) -> str:
    file = tmp_path / "prefs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in PAIRS))
    return str(file)


def test_models_and_a_file_of_answers_beside_a_reference(
    tmp_path: Path, model: str, prefs: str
) -> None:
    file = tmp_path / "answers.json"
    rows = [{"instruction": row["prompt"], "output": HOSTILE} for row in PAIRS[1:]]
    file.write_text(json.dumps([{**row, "generator": "them"} for row in rows]))
    found = evaluate(
        tmp_path / "out", f"mine={model}", f"twin={model}", str(file), "--data", prefs,
        "--reference", model, "--samples", "6", "--max-new-tokens", "8",
    )  # fmt: skip
    assert found["contestants"] == ["mine", "twin", "them"]
    assert found["prompts"] == 2
    assert found["measures"]["mine"]["kl"]["mean"] == pytest.approx(0.0, abs=1e-4)
    assert found["measures"]["mine"]["length"]["n"] == 6
    assert "kl" not in found["measures"]["them"]
    assert found["gaps"].keys() == {"mine", "twin"}
    said = found["preferences"]
    assert said["comparisons"] == 3
    assert said["longer"]["mean"] == 0.5  # longer, shorter, as long
    assert said["judges"].keys() == {"mine", "twin"}
    assert said["judges"]["mine"] == said["judges"]["twin"]
    assert "implicit_reward" not in said["judges"]["mine"]  # it is its own reference
    assert found["sampling"]["stop"] == ["\n\nHuman:"]  # the model has no chat template
    assert "them: no KL" in found["said"]
    assert HOSTILE not in found["page"]
    assert "&lt;script&gt;" in found["page"]


def test_of_one_prompt_no_interval_is_told(tmp_path: Path, model: str) -> None:
    file = tmp_path / "one.jsonl"
    file.write_text(json.dumps(PAIRS[0]) + "\n")
    found = evaluate(tmp_path / "out", model, "--data", str(file), "--samples", "1",
                     "--max-new-tokens", "4")  # fmt: skip
    assert found["preferences"]["longer"]["low"] is None
    assert "the longer answer is right in 100.0%." in found["page"]


def test_the_same_command_goes_on_where_it_stopped(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("".join(f"red {'blue ' * n}\n" for n in range(20)))
    asked = 0
    sample = LocalSampler.sample

    def until(self: LocalSampler, prompts: Any, **settings: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise KeyboardInterrupt
        return sample(self, prompts, **settings)

    words = ["evaluate", model, "--prompts", str(prompts), "--samples", "20"]
    out = str(tmp_path / "out")
    whole = evaluate(tmp_path / "whole", *words[1:], "--max-new-tokens", "8")
    monkeypatch.setattr(LocalSampler, "sample", until)
    stopped = runner.invoke(app, [*words, "--max-new-tokens", "8", "--out", out])
    assert stopped.exit_code == 130
    found = evaluate(tmp_path / "out", *words[1:], "--max-new-tokens", "8")
    assert asked == 3  # the second chunk alone was asked again
    assert found["measures"] == whole["measures"]
    assert found["samples"] == whole["samples"]


def test_probes_are_asked_with_and_without_an_opinion(tmp_path: Path, model: str) -> None:
    probes = tmp_path / "probes.jsonl"
    probes.write_text(json.dumps({"prompt": "red ?", "wrong": "no", "opinion": "no"}) + "\n")
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("red\n")
    found = evaluate(
        tmp_path / "out", model, "--prompts", str(prompts), "--probes", str(probes),
        "--samples", "2", "--max-new-tokens", "4",
    )  # fmt: skip
    assert found["sycophancy"]["model"]["told"]["n"] == 2


def test_policies_of_a_run_by_its_rewards_and_comparisons(
    tmp_path: Path, finished_run: Path
) -> None:
    run = str(finished_run)
    found = evaluate(
        tmp_path / "out", f"{run}:ppo", f"{run}:sft", "--reward", f"{run}:reward",
        "--reference", f"{run}:sft", "--samples", "8",
    )  # fmt: skip
    assert {"gold", "correct", "reward", "kl", "entropy"} <= found["measures"]["ppo"].keys()
    assert found["preferences"] is None
    told = found["hallucination"]["ppo"].values()
    assert sum(each["correct"]["n"] for each in told) <= 8
    judged = evaluate(
        tmp_path / "judged", f"{run}:ppo", "--data", f"{run}:collect", "--samples", "8",
        "--reward", f"{run}:reward",
    )  # fmt: skip
    summary = json.loads((finished_run / "reward" / "done.json").read_text())["summary"]
    own = judged["preferences"]["judges"]["reward"]["reward"]["accuracy"]
    assert own["mean"] == pytest.approx(summary["accuracy"]["mean"])
    assert "reward, above chosen" in judged["measures"]["ppo"]
    assert "correct, above chosen" not in judged["measures"]["ppo"]


def test_mistakes_end_with_one_paragraph(
    tmp_path: Path, model: str, prefs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "nobody" in refused(str(tmp_path / "nobody"))
    assert "--prompts" in refused(model)
    assert "scores nothing" in refused(model, "--data", prefs, "--reward", prefs)
    assert "no weights" in refused(model, "--data", prefs, "--reference", "http://127.0.0.1:9/v1")
    empty = tmp_path / "empty.jsonl"
    empty.write_text('{"prompt": "red", "chosen": "x", "rejected": "x"}\n')
    assert "prefers" in refused(model, "--data", str(empty))
    both = ["--reward", f"length={model}"]
    assert "Another measure is called 'length'" in refused(model, "--data", prefs, *both)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "pip install lm_eval" in refused(model, "--data", prefs, "--lm-eval", "arc_easy")
    assert "leaves room" in refused(model, "--data", prefs, "--max-new-tokens", "1000")
