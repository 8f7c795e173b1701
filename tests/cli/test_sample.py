"""`heed sample`: ask a policy of a run, or any model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from heed.cli.main import app

runner = CliRunner()
QUESTION = "What is the capital of France?"


def ask(*arguments: str, given: str | None = None) -> list[str]:
    result = runner.invoke(app, ["sample", *arguments, "--max-new-tokens", "8"], input=given)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def test_a_policy_of_a_run(finished_run: Path) -> None:
    answers = ask(str(finished_run), QUESTION, "-n", "3")
    assert len(answers) == 3
    assert ask(str(finished_run), QUESTION, "-n", "3") == answers
    assert ask(str(finished_run), QUESTION, "-n", "3", "--seed", "1") != answers
    folder = str(finished_run / "ppo" / "policy")
    assert ask(folder, QUESTION, "-n", "3") == answers
    assert ask(str(finished_run), QUESTION, "-n", "3", "--policy", "pretrain") != answers


def test_questions_from_standard_input(finished_run: Path) -> None:
    both = ask(str(finished_run), "--temperature", "0", given=f"{QUESTION}\n\nHello!\n")
    assert len(both) == 2
    assert both == ask(str(finished_run), QUESTION, "Hello!", "--temperature", "0")


def test_a_policy_that_the_run_does_not_have(finished_run: Path) -> None:
    result = runner.invoke(app, ["sample", str(finished_run), QUESTION, "--policy", "leash"])
    assert result.exit_code == 2
    message = " ".join(result.stderr.split())
    assert "has no policy 'leash'. It has: dpo, leash_off, ppo, pretrain, sft." in message


@pytest.mark.parametrize("given", [["--device", "abacus"], ["--temperature", "-1"]])
def test_settings_that_cannot_be(finished_run: Path, given: list[str]) -> None:
    result = runner.invoke(app, ["sample", str(finished_run), QUESTION, *given])
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_a_base_model_that_is_used_as_it_is(finished_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "pretrain").mkdir(parents=True)
    (run / "recipe.yaml").write_text("name: run")
    base = finished_run / "pretrain" / "policy"
    (run / "pretrain" / "done.json").write_text(json.dumps({"summary": {"source": str(base)}}))
    words = [QUESTION, "--temperature", "0"]
    assert ask(str(run), *words, "--policy", "pretrain") == ask(str(base), *words)
