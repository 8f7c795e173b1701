"""`heed sample --out`: a file of answers that label, compare and align read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from toy_run import toy_run
from typer.testing import CliRunner

from heed.cli.main import app
from heed.data.outputs import read_outputs, read_prompts
from heed.data.preferences import Gathering, read_preferences
from heed.data.survey import survey
from heed.models.language_model import load_language_model
from heed.sampling.local import LocalSampler
from heed.types import Message, Prompt

runner = CliRunner()
QUESTIONS = [
    {"prompt": "good ?", "id": "g", "family": "kind"},
    {"messages": [{"role": "user", "content": "red ?"}, {"role": "assistant", "content": "blue"}]},
    {"messages": [{"role": "system", "content": "one"}, {"role": "user", "content": "two ?"}]},
]


@pytest.fixture
def run(tmp_path: Path, toy_lm: Any) -> Path:
    return toy_run(tmp_path / "run", toy_lm)


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    file = tmp_path / "asked.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in QUESTIONS))
    return file


def sample(*words: object) -> str:
    """What it says of a run that ends well."""
    done = runner.invoke(app, ["sample", *map(str, words), "--max-new-tokens", "6"])
    assert done.exit_code == 0, done.output
    return done.stderr


def refused(*words: object, given: str | None = None) -> str:
    done = runner.invoke(app, ["sample", *map(str, words)], input=given)
    assert done.exit_code == 2
    assert "Traceback" not in done.output
    return " ".join(done.stderr.split())


def test_several_answers_are_items_to_label_and_contestants(
    run: Path, questions: Path, tmp_path: Path
) -> None:
    out = tmp_path / "deep" / "answers.jsonl"
    said = sample(run, "--prompts", questions, "-n", 4, "--seed", 3, "--out", out)
    assert "12 to 3 prompts" in said
    assert "12/12" in said  # the bar, where there is no terminal
    prompts = read_prompts(questions)
    assert [len(each.messages) for each in prompts] == [1, 1, 2]
    lm = load_language_model(run / "sft" / "policy")
    drawn = LocalSampler(lm, max_new_tokens=6, batch_size=64).sample(prompts, n=4, seed=3)
    outputs = read_outputs(out)
    assert [each.text for each in outputs] == [each.text for each in drawn]
    assert {each.model for each in outputs} == {"sft"}
    assert [each.prompt.messages for each in outputs[::4]] == [each.messages for each in prompts]
    gathering = Gathering()
    name, _ = read_preferences(str(out), into=gathering)
    assert name == "items"
    assert len(gathering.items) == 3
    assert gathering.items[0].prompt.id == "g"
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row.get("prompt_id") for row in rows] == ["g", None, None]
    assert gathering.items[0].prompt.family == "kind"
    for item in gathering.items:
        assert len(set(item.answers)) == len(item.answers) == len(item.models) > 1


def test_one_answer_is_a_demonstration(run: Path, questions: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.jsonl"
    sample(f"{run}:base", "--prompts", questions, "--out", out, "--system", "yes")
    found = survey([str(out)])
    assert [each.prompt.messages[0] for each in found.demonstrations] == (
        [Message("system", "yes")] * 2 + [Message("system", "yes\n\none")]
    )
    assert [each.text for each in read_outputs(out)] == [one.text for one in found.demonstrations]
    again = tmp_path / "again.jsonl"
    sample(run, "--policy", "base", "--prompts", questions, "--out", again, "--system", "yes")
    assert again.read_bytes() == out.read_bytes()


def test_answers_that_were_drawn_twice_are_one_and_empty_ones_none(tmp_path: Path) -> None:
    rows = [
        {"prompt": "p", "answers": ["a", "b", "a"], "models": ["x", "y", "x"]},
        {"prompt": "q", "answers": ["a", "a"]},
        {"prompt": "t", "answers": ["a", " ", "c"], "models": ["x", "y", "z"]},
        {"prompt": "r", "answers": ["a", "b", "a"], "known": [1, 2, 3]},
        {"prompt": "s", "answers": ["a", "b"], "models": ["x"]},
    ]
    file = tmp_path / "answers.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    gathering = Gathering()
    read_preferences(str(file), into=gathering)
    found = [(item.answers, item.models) for item in gathering.items]
    assert found == [(("a", "b"), ("x", "y")), (("a", "c"), ("x", "z"))]
    assert gathering.set_aside == {"equal answers": 1}
    assert [row.number for row in gathering.errors] == [4, 5]


def test_what_cannot_be(run: Path, questions: Path, tmp_path: Path) -> None:
    assert "given twice" in refused(run, "good ?", "--prompts", questions)
    assert "Nothing is asked" in refused(run, given="\n \n")
    assert "--top-p 2" in refused(run, "good ?", "--top-p", "2")
    assert "NAME.jsonl" in refused(run, "good ?", "--out", "answers.csv")
    assert "is a directory" in refused(run, "good ?", "--out", tmp_path)
    assert "is no run's directory" in refused(tmp_path, "good ?", "--policy", "sft")
    assert "does not exist" in refused(run, "--prompts", tmp_path / "none.jsonl")
    questions.write_text('{"prompt": "good ?"}\n{"answer": "x"}\n')
    assert "asked.jsonl, line 2" in refused(run, "--prompts", questions)
    long = refused(run, "good ?", "yes " * 80, "--max-new-tokens", "8")
    assert "1 of 2 prompts leave no room for an answer of 8 tokens" in long
    assert "the first is prompt 2, 'yes yes" in long
    out = tmp_path / "answers.jsonl"
    out.write_text("kept")
    assert refused(run, "yes " * 80, "--out", out)
    assert out.read_text() == "kept"


def test_a_prompt_that_asks_nothing(tmp_path: Path) -> None:
    file = tmp_path / "asked.jsonl"
    file.write_text('{"messages": [{"role": "assistant", "content": "x"}]}\n')
    assert "asks nothing" in refused("org/model", "--prompts", file)
    file.write_text('{"messages": [{"role": "user", "content": "x"}]}\n')
    assert read_prompts(file) == [Prompt("x", (Message("user", "x"),))]
