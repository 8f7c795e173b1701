"""The page of the command line, from the application that typer makes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import typer

from heed.cli.main import app

DOCS = Path(__file__).parents[1] / "docs"
HEAD = """\
# Command line

Every verb of `heed`, as `heed VERB --help` says it. This page is made from the program itself.

A mistake of yours ends with one paragraph and exit code 2; Ctrl-C with 130. What was finished is
kept: the same command goes on.

"""
MARKUP = re.compile(r"\[/?(?:dim|bold|red|green|yellow| )*\]")
PAGE = re.compile(r"docs/(?P<page>[a-z-]+)\.md")
EXAMPLE = re.compile(r"^Examples?:\s*`?")
COMMAND = re.compile(r"(?:\s{2,}|\n)(?=heed )")
"""Where a command begins behind another; what is no beginning goes on with it."""


def command_line() -> str:
    """The whole page."""
    return HEAD + "\n".join(_verbs(typer.main.get_command(app), "heed"))


def verbs(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every verb with its full name, those of groups too."""
    for word, inner in command.commands.items():
        if hasattr(inner, "commands"):
            yield from verbs(inner, f"{name} {word}")
        else:
            yield f"{name} {word}", inner


def _verbs(program: Any, name: str) -> Iterator[str]:
    for words, command in verbs(program, name):
        if not command.hidden:
            yield from _verb(words, command)


def _verb(words: str, command: Any) -> Iterator[str]:
    yield f"## {words}\n"
    text = MARKUP.sub("", "\n\n".join(filter(None, (command.help, command.epilog))))
    for paragraph in re.split(r"\n\s*\n", text):
        said = " ".join(paragraph.split()).strip()
        shown = EXAMPLE.sub("", paragraph.strip())
        if shown.startswith("heed "):
            lines = [" ".join(line.split()).strip("`") for line in COMMAND.split(shown)]
            yield "```sh\n" + "\n".join(lines) + "\n```\n"
        elif said:
            yield f"{PAGE.sub(_linked, escape(said, quote=False))}\n"
    context = command.make_context(words, [], resilient_parsing=True)
    records = [(each, each.get_help_record(context)) for each in command.params if not each.hidden]
    if records:
        yield '<dl class="settings">'
        for param, record in records:
            if record is not None and param.name != "help":
                yield f"<dt><code>{escape(record[0])}</code></dt><dd>{_said(record[1])}</dd>"
        yield "</dl>\n"


def _linked(found: re.Match[str]) -> str:
    """A page of the documentation that a help text names, as a link where it is written."""
    page = f"{found['page']}.md"
    return f"[{found['page']}](../{page})" if (DOCS / page).exists() else found[0]


def _said(text: str) -> str:
    return escape(" ".join(MARKUP.sub("", text).split()))
