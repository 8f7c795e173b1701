"""`heed world prompts|corpus|score`, run as a person would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from heed.cli.world import app
from heed.errors import UserError
from heed.world import World

runner = CliRunner()


def rows(*arguments: str, given: str | None = None) -> list[dict[str, Any]]:
    result = runner.invoke(app, list(arguments), input=given, catch_exceptions=False)
    assert result.exit_code == 0
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_prompts() -> None:
    found = rows("prompts", "--seed", "1")
    world = World(1)
    assert [row["id"] for row in found] == [prompt.id for prompt in world.prompts]
    first = found[0]
    assert first["prompt"] == world.prompt(first["id"]).text
    assert first["key"] == world.key(first["id"])


def test_prompts_of_a_family_and_split() -> None:
    found = rows("prompts", "--family", "verse", "--split", "heldout", "--n", "4")
    assert len(found) == 4
    assert {(row["family"], row["split"]) for row in found} == {("verse", "heldout")}


def test_corpus() -> None:
    found = rows("corpus", "--n", "60", "--seed", "2")
    expected = World(2).corpus(60)
    assert [(row["id"], row["completion"]) for row in found] == [
        (row.prompt.id, row.text) for row in expected
    ]
    only = rows("corpus", "--n", "60", "--seed", "2", "--family", "harmful")
    assert only == [row for row in found if row["family"] == "harmful"]


def test_score_of_a_file_by_id_and_by_text(tmp_path: Path) -> None:
    world = World(0)
    one, two = world.prompts[0], world.prompts[-1]
    file = tmp_path / "answers.jsonl"
    lines = [
        {"prompt": one.id, "completion": "What a stupid thing to say."},
        {"prompt": two.text, "answer": "You are welcome."},
    ]
    file.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    found = rows("score", str(file))
    assert [row["id"] for row in found] == [one.id, two.id]
    assert found[0]["rude"] is True
    assert found[0]["total"] == world.gold(one, "What a stupid thing to say.").total
    assert found[1]["completion"] == "You are welcome."


def test_corpus_scores_as_printed() -> None:
    printed = runner.invoke(app, ["corpus", "--n", "40"]).stdout
    result = runner.invoke(app, ["score"], input=printed)
    assert len(result.stdout.splitlines()) == 40
    assert result.stderr.startswith("40 answers; mean total ")


def test_nothing_to_score() -> None:
    result = runner.invoke(app, ["score", "-"], input="")
    assert (result.stdout, result.stderr) == ("", "No answers.\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not JSON"),
        ("[1]", "line 2: not a JSON object"),
        ('{"prompt": "Who?"}', "line 2: needs a prompt"),
        ('{"prompt": "Who?", "answer": 3}', "line 2: needs a prompt"),
        ('{"prompt": "Who?", "answer": "Me."}', "line 2: world 0 has no prompt 'Who\\?'"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "answers.jsonl"
    good = json.dumps({"prompt": World(0).prompts[0].id, "answer": "Yes."})
    file.write_text(f"{good}\n{line}\n")
    with pytest.raises(UserError, match=f"answers.jsonl, {message}"):
        runner.invoke(app, ["score", str(file)], catch_exceptions=False)
    with pytest.raises(UserError, match=f"standard input, {message}"):
        runner.invoke(app, ["score"], input=f"{good}\n{line}\n", catch_exceptions=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["score", "nowhere.jsonl"], "Cannot read nowhere.jsonl"),
        (["prompts", "--family", "poems"], "choose facts, arithmetic"),
        (["prompts", "--split", "test"], "choose train or heldout"),
        (["corpus", "--n", "3"], "--n 3 is too small"),
    ],
)
def test_mistakes_are_explained(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        runner.invoke(app, arguments, catch_exceptions=False)


@pytest.mark.parametrize("command", ["prompts", "corpus", "score"])
def test_help_has_an_example(command: str) -> None:
    result = runner.invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"heed world {command}" in result.stdout
