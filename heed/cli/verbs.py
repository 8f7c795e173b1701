"""The verbs and what each is for; the module of one is imported when it is asked for.

So the overview imports none of them, and `heed VERB --help` imports one. A verb is a file of its
name in `heed.cli` that holds a function of its name, or `app`, a group of verbs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

LINES: Mapping[str, str] = {
    "align": "Align a model with preferences: look at the data, choose a recipe and say why, run "
    "it, and measure whether the answers are better.",
    "init": "Write the recipe that suits a model, preferences and this machine, every setting with "
    "its reason; heed run carries it out.",
    "run": "Run a recipe; finished stages are skipped, an unfinished one goes on.",
    "plan": "Say what a recipe will cost: tokens, operations, memory, time, labels and their "
    "price.",
    "recipes": "List the shipped recipes, or print one in full.",
    "train": "Train by one method: its stage, and the stages it reads from.",
    "chat": "Talk to a policy; switch to another, or see two answers and choose.",
    "sample": "Print a policy's answers, or write them to a file.",
    "watch": "Watch a run: its stages, curves, gates and fresh answers, as they come.",
    "report": "Write report.html and report.json (league.html and league.json for several seeds) "
    "anew and print where they are. Of two runs or more: one page that compares them.",
    "compare": "Compare answers in blind pairs: who is better, how surely, and which judge is "
    "fooled.",
    "evaluate": "Measure any models: length, KL, variety, rewards, and what preferences say of "
    "them.",
    "export": "Write a model of a run so that plain transformers (or peft) loads it, with a model "
    "card.",
    "serve": "Serve policies behind OpenAI's HTTP interface, several side by side.",
    "label": "Compare answers in the browser, alone or with others.",
    "rollouts": "Serve a model's answers to a training on another machine, by weights that it "
    "sends.",
    "doctor": "Say what this machine has of what Heed needs, what is missing and what to do.",
    "prefs": "Import, export and judge preferences.",
    "world": "Look into the embedded world and score answers.",
}
"""Verb -> the first paragraph of its help, in the order of the overview (a test compares them)."""


class Group(TyperGroup):
    """Verbs under a common word."""

    def get_help_option(self, ctx: Any) -> Any:
        """As typer has it, but False where it is not given: a bool needs no pydantic, None would
        load it for the help of every verb below.
        """
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option


class Verbs(Mapping[str, Any]):
    """Verb -> its command, made when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        if name not in LINES:
            raise KeyError(name)
        return _command(name)

    def __iter__(self) -> Iterator[str]:
        return iter(LINES)

    def __len__(self) -> int:
        return len(LINES)


@cache
def _command(name: str) -> Any:
    module = import_module(f"heed.cli.{name}")
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(rich_markup_mode="rich", add_completion=False)
        app.command(name, epilog=getattr(module, "MORE", None))(getattr(module, name))
    command = typer.main.get_command(app)
    command.name = name
    return command
