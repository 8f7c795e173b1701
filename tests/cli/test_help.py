"""Every verb's help shows an example, and loads little."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from heed.cli.main import app
from heed.cli.verbs import LINES

HEAVY = {"torch", "transformers", "numpy", "scipy", "sqlalchemy", "jinja2", "fastapi", "yaml",
         "pydantic"}  # fmt: skip
OWN = 10
"""Modules of Heed that a help may load: six of the program, its verb's, three shared ones."""


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every command that does something, by what is typed for it."""
    below = getattr(command, "commands", None)
    if not below:
        yield name, command
    for word, each in (below or {}).items():
        yield from commands(each, f"{name} {word}")


COMMANDS = dict(commands(get_command(app), "heed"))


def test_there_are_verbs() -> None:
    assert {"heed run", "heed export", "heed doctor", "heed prefs import"} <= COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example(name: str) -> None:
    text = f"{COMMANDS[name].help} {COMMANDS[name].epilog}"
    assert "Example" in text
    # The example is of this verb, as it would be typed.
    shown = " ".join(text.partition("Example")[2].split())
    assert name in shown, f"the example of {name} does not type it"


@pytest.mark.parametrize("name", LINES)
def test_the_overview_says_what_a_verbs_help_says_first(name: str) -> None:
    first = inspect.cleandoc(get_command(app).commands[name].help).split("\n\n")[0]
    assert LINES[name] == " ".join(first.split())


def test_help_loads_nothing_heavy() -> None:
    """Each help in a process of its own, forked from one that holds typer and rich."""
    words = [name.split()[1:] for name in COMMANDS] + [[], ["prefs"], ["world"]]
    program = f"""
import contextlib, io, os, sys
import typer.rich_utils
assert not {HEAVY!r} & set(sys.modules)
for words in {words!r}:
    if not os.fork():
        from heed.cli.main import app
        with contextlib.redirect_stdout(io.StringIO()) as said:
            app([*words, "--help"], standalone_mode=False)
        assert "Usage" in said.getvalue()
        heavy = {HEAVY!r} & set(sys.modules)
        own = [name for name in sys.modules if name.startswith("heed")]
        print(*words, *heavy, *own if len(own) > {OWN} else [])
        sys.stdout.flush()
        os._exit(0)
    assert os.wait()[1] == 0
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [" ".join(each) for each in words]


def test_a_verb_that_is_none_is_told_with_one_that_is() -> None:
    from typer.testing import CliRunner

    result = CliRunner().invoke(app, ["rnu"])
    assert result.exit_code == 2
    assert "No such command 'rnu'" in result.stderr
    assert "'run'" in result.stderr
