"""The command line as a whole: help, versions, and what a mistake looks like."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from heed import __version__
from heed.cli.main import app
from heed.config import load_recipe, recipe_names

runner = CliRunner()


def verbs() -> list[list[str]]:
    """Every command that does something, as words."""
    found = []
    for name, command in typer.main.get_group(app).commands.items():
        below = getattr(command, "commands", None)
        found += [[name, word] for word in below] if below else [[name]]
    return found


def test_all_verbs_are_there() -> None:
    words = {" ".join(verb) for verb in verbs()}
    assert {"run", "recipes", "train", "sample", "report", "world prompts"} <= words


@pytest.mark.parametrize("verb", verbs(), ids=" ".join)
def test_every_verbs_help_has_an_example(verb: list[str]) -> None:
    result = runner.invoke(app, [*verb, "--help"])
    assert result.exit_code == 0
    (line,) = [line for line in result.stdout.splitlines() if "Example" in line]
    assert f"heed {' '.join(verb)}" in line


def test_help_and_version() -> None:
    assert runner.invoke(app, ["--version"]).stdout == f"heed {__version__}\n"
    overview = runner.invoke(app, ["--help"]).stdout
    assert "heed run quickstart" in overview
    assert "Example" not in overview


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "quikstart"], "No recipe is named 'quikstart'"),
        (["run", "quickstart", "--set", "ppo.kl.ceof=1"], "unknown key 'kl.ceof'. Did you mean"),
        (["run", "quickstart", "--set", "ppo.kl.coef=much"], "'kl.coef' cannot be 'much'"),
        (["run", "quickstart", "--set", "pppo.kl=1"], "Did you mean 'ppo'?"),
        (["run", "quickstart", "--set", "seed"], "write it as key.key=value"),
        (["train", "pro"], "has no stage 'pro'. It has: records, pretrain"),
        (["train", "sft", "--recipe", "mine.yaml"], "no such file exists"),
        (["recipes", "nothing"], "Shipped recipes:"),
        (["report", "nowhere"], "is no run directory"),
        (["sample", "./nowhere", "Hello?"], "There is no run and no model at"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_ends_with_one_paragraph(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert message in " ".join(result.stderr.split())
    assert result.stderr.startswith("Error: ")
    assert "\n\n" not in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


def test_brackets_in_a_message_are_shown(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("name: mine\nstages: [records: {corpus: [bold]}]\n")
    result = runner.invoke(app, ["run", str(recipe)])
    assert result.exit_code == 2
    assert "['bold']" in result.stderr


def test_a_database_that_fails_under_way_is_told_in_one_paragraph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "Which?", "answers": ["this", "that"]}\n')
    store = tmp_path / "feedback.db"
    command = ["prefs", "import", str(rows), "--store", str(store)]
    assert runner.invoke(app, command).exit_code == 0
    rows.write_text('{"prompt": "Which one?", "answers": ["this", "that"]}\n')
    monkeypatch.setattr("heed.store.database.BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(store)) as other:
        other.execute("BEGIN IMMEDIATE")
        result = runner.invoke(app, command)
    assert result.exit_code == 2
    assert "The store stopped answering: database is locked." in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert runner.invoke(app, command).exit_code == 0


def test_recipes_are_listed_with_what_they_do() -> None:
    listed = runner.invoke(app, ["recipes"]).stdout
    for name in recipe_names():
        assert name in listed
        assert load_recipe(name).description.split()[0] in listed


@pytest.mark.parametrize("name", recipe_names())
def test_a_printed_recipe_runs_as_the_shipped_one(name: str, tmp_path: Path) -> None:
    printed = runner.invoke(app, ["recipes", name])
    (tmp_path / "mine.yaml").write_text(printed.stdout)
    assert load_recipe(str(tmp_path / "mine.yaml")) == load_recipe(name)


def test_a_process_of_its_own(tmp_path: Path) -> None:
    """As a user sees it: exit code, and no torch in help, mistakes or finished runs."""
    program = "import sys; from heed.cli.main import app\ntry: app()\nfinally: print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program, "run", "quickstart", "--set", "sed=1"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 2
    assert "Did you mean 'seed'?" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert "torch" not in done.stdout.split()
