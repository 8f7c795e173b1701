"""Every verb's help shows an example."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from heed.cli.main import app


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
