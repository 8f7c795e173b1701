"""Runs what a page says, in a folder that holds what it names."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from docs.blocks import Block
from docs.commands import Line, heed_words, lines
from docs.shrunk import MORE, shrunk
from typer.testing import CliRunner

from heed import config
from heed.cli.main import app

NOT_RUN = (
    ("make", "", "builds and tests Heed itself, as CI does"),
    ("pip", "", "packages come from elsewhere"),
    ("git", "", "code comes from elsewhere"),
    ("python -m benchmarks", "", "measures for minutes or hours"),
    ("python -m pytest", "", "tests of Heed"),
    ("torchrun", "", "several processes: tests/train_on_ranks.py runs them"),
    ("tensorboard", "", "serves people until they stop it"),
    ("wandb", "", "sends to a server"),
    ("trackio", "", "serves people until they stop it"),
    ("heed label", "", "serves people until they stop it: tests/cli/test_label.py"),
    ("heed serve", "", "serves people until they stop it: tests/cli/test_serve.py"),
    ("heed watch", "--web", "serves people until they stop it: tests/cli/test_watch.py"),
    ("heed rollouts", "", "serves until it is stopped: tests/test_rollout_servers.py"),
    ("heed compare", "people", "waits for people's votes: tests/cli/test_compare.py"),
    (
        "heed run constitution",
        "",
        "a judge learns to judge for minutes: tests/test_constitution.py",
    ),
    ("heed run hh_encoder", "", "needs real weights from a package: tests/stages/test_encoders.py"),
    ("heed", "track=", "trackers' packages take long to load: tests/tracking"),
    ("heed", "--push", "uploads to the hub: tests/exporting/test_hub.py"),
)
"""Commands that no page's test runs: what they begin with, what they hold, why."""


def why_not(line: Line) -> str:
    """Why a line is not run; nothing where it is."""
    if line.block.not_run:
        return line.block.not_run
    for _, words in line.parts:
        for first, held, reason in NOT_RUN:
            said = " ".join(words)
            if said.startswith(first) and held in said:
                return reason
    return ""


def run_line(line: Line) -> None:
    """Run a command line in this process. Raises AssertionError where it fails."""
    said = ""
    for operator, words in line.parts:
        if operator in {">", ">>"}:
            with Path(words[0]).open("a" if operator == ">>" else "w", encoding="utf-8") as file:
                file.write(said)
        elif operator in {"", "&&", ";", "|"}:
            said = _run(words, said if operator == "|" else "", line)


def _run(words: tuple[str, ...], given: str, line: Line) -> str:
    heed = heed_words(words)
    if heed is None:
        done = subprocess.run(words, input=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line.block.place}: {line.text}: {done.stderr}"
        return done.stdout
    more = next((extra for verb, extra in MORE.items() if " ".join(heed).startswith(verb)), ())
    result = CliRunner().invoke(app, [*heed, *more], input=given)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise AssertionError(f"{line.block.place}: {line.text}") from result.exception
    assert result.exit_code == 0, f"{line.block.place}: {line.text}: {result.output}"
    return result.stdout


def run_block(block: Block, namespace: dict[str, object]) -> None:
    """Run a block of Python, or write a titled block into its file, a recipe shrunk."""
    if block.title:
        path = Path(block.title)
        path.parent.mkdir(parents=True, exist_ok=True)
        recipe = block.language == "yaml" and "stages:" in block.text
        path.write_text(shrunk(path.stem, block.text) if recipe else block.text, encoding="utf-8")
    elif block.language == "python":
        exec(compile(block.text, block.place, "exec"), namespace)


def run_page(page: Iterable[Block]) -> None:
    """Everything of a page that can be run, in its order."""
    namespace: dict[str, object] = {"__name__": "page"}
    for block in page:
        if block.not_run:
            continue
        run_block(block, namespace)
        for line in lines(block):
            if not why_not(line):
                run_line(line)


@contextmanager
def small_recipes() -> Iterator[None]:
    """Shipped recipes are read as `shrunk` makes them."""
    read = config._read

    def small(name: str) -> tuple[str, str]:
        source, text = read(name)
        return source, shrunk(name, text) if name in config.recipe_names() else text

    config._read = small
    try:
        yield
    finally:
        config._read = read


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in a folder for a while."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
