"""The commands in a block, and whether each could be given: its verb, options, recipe, settings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from docs.blocks import ROOT, SHELL, Block

from heed.cli.main import app
from heed.config import load_recipe, recipe_names
from heed.errors import UserError

PROGRAM = typer.main.get_command(app)
OTHERS = ("pip", "make", "python", "python3", "torchrun", "git", "cd", "cat", "head", "echo",
          "export", "mkdir", "ls", "cp", "gzip", "tensorboard", "wandb", "trackio",
          "source", "pytest")  # fmt: skip
"""Programs that are none of ours, but may stand in a page."""
OPERATORS = ("|", "&&", ";", ">", ">>")
RECIPE_VERBS = {"run": "recipe", "plan": "recipe", "train": "recipe"}
PLACEHOLDER = re.compile(r"^[A-Z][A-Z_0-9]*$|^\.\.\.$|^<.*>$")


@dataclass(frozen=True)
class Line:
    """One line of a shell: simple commands, joined by operators."""

    block: Block
    text: str
    parts: tuple[tuple[str, tuple[str, ...]], ...]
    """As `parts` gives them."""


def lines(block: Block) -> list[Line]:
    """The command lines of a block; none where it holds something else.

    A line that begins with no program that is known is an error in a block that says it is a
    shell's; other blocks are commands where their first line is one.
    """
    shell = block.language in SHELL
    said = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":
        said = [line[2:] for line in said if line.startswith("$ ")]
    said = [line.strip() for line in said if line.strip() and not line.strip().startswith("#")]
    if not shell and (block.language or not said or not _known(said[0])):
        return []
    for line in said:
        assert _known(line), f"{block.place}: no program is known that begins {line!r}"
    return [Line(block, line, tuple(parts(line))) for line in said]


def _known(line: str) -> bool:
    word = re.sub(r"^(\w+=\S+\s+)*", "", line).split(" ")[0]
    return word == "heed" or word in OTHERS


def parts(line: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The commands of a line, each an operator ("" before the first) and the words behind it."""
    reader = shlex.shlex(line, posix=True, punctuation_chars="|&;>")
    reader.whitespace_split, reader.commenters = True, "#"
    if re.search(r"\S#", line):  # address#MODEL is one word
        reader.commenters = ""
        line = re.sub(r"\s#\s.*$", "", line)
        reader = shlex.shlex(line, posix=True, punctuation_chars="|&;>")
        reader.whitespace_split, reader.commenters = True, ""
    operator, words = "", []
    for word in reader:
        if word in OPERATORS:
            yield operator, tuple(words)
            operator, words = word, []
        elif words or not re.match(r"^[A-Z_]+=", word):  # settings of the environment
            words.append(word)
    yield operator, tuple(words)


def heed_words(words: Sequence[str]) -> list[str] | None:
    """What is said to `heed`, however it is called; None where another program is."""
    words = list(words)
    if words[:1] == ["heed"]:
        return words[1:]
    if words[:1] in (["python"], ["torchrun"]) and "heed" in words:
        at = words.index("heed")
        return words[at + 1 :] if words[at - 1] == "-m" else None
    return None


def check(line: Line) -> None:
    """Raise AssertionError where the line could not be given."""
    for operator, words in line.parts:
        if operator in {">", ">>"}:
            continue
        said = heed_words(words)
        if said is not None:
            check_heed(said, line.block.place)
        elif words[0] == "make":
            targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            unknown = [word for word in words[1:] if "=" not in word and word not in targets]
            assert not unknown, f"{line.block.place}: the Makefile has no {unknown}"
        elif words[:2] == ("python", "-m") and words[2].startswith("benchmarks"):
            place = ROOT / words[2].replace(".", "/")
            assert place.is_dir() or place.with_suffix(".py").exists(), f"no {words[2]}"


def verb(words: Sequence[str]) -> tuple[Any, str, list[str]]:
    """The command, its name and its arguments; AssertionError where there is none."""
    command, name, rest = PROGRAM, "", list(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        word = rest.pop(0)
        assert word in command.commands, f"heed {name} has no verb {word!r}"
        command, name = command.commands[word], f"{name} {word}".strip()
    return command, name, rest


def check_heed(words: Sequence[str], place: str) -> None:
    """Raise AssertionError where `heed` would not take these words."""
    try:
        command, name, rest = verb(words)
        if not hasattr(command, "commands"):
            context = command.make_context(name, list(rest))
            _check_recipe(name, context.params)
    except typer.Exit:
        return  # --help, --version
    except AssertionError as error:
        raise AssertionError(f"{place}: {error}") from error
    except Exception as error:
        if type(error).__name__ == "Exit":
            return
        said = error.format_message() if hasattr(error, "format_message") else error
        raise AssertionError(f"{place}: heed {' '.join(words)}: {said}") from error


def _check_recipe(name: str, params: dict[str, Any]) -> None:
    """A shipped recipe takes the settings that are given."""
    if name not in RECIPE_VERBS:
        return
    recipe = params[RECIPE_VERBS[name]]
    said = params.get("set_") or ()
    given = [each for each in said if not PLACEHOLDER.match(each.partition("=")[2])]
    if recipe in recipe_names():
        loaded = load_recipe(recipe, given)
        if name == "train":
            assert params["method"] in [stage.name for stage in loaded.stages], params["method"]
    elif not PLACEHOLDER.match(recipe) and not Path(recipe).suffix:
        raise UserError(f"No recipe is named {recipe!r}.")
