"""`heed world`: look at the embedded world, and score answers in it from outside."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heed.cli.verbs import Group
from heed.errors import UserError

if TYPE_CHECKING:
    from heed.types import Prompt, Split
    from heed.world import Gold, World

app = typer.Typer(
    cls=Group,
    help="Look into the embedded world and score answers.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
)

Seed = Annotated[int, typer.Option(help="Which world: it sets facts, prompts and people.")]


@app.command(
    epilog="Example: `heed world prompts --family facts --split heldout | head -3`",
)
def prompts(
    seed: Seed = 0,
    split: Annotated[str, typer.Option(help="Only this split: train or heldout.")] = "",
    family: Annotated[str, typer.Option(help="Only this family, such as facts or verse.")] = "",
    n: Annotated[int, typer.Option(help="At most so many; 0 for all.", min=0)] = 0,
) -> None:
    """Print the world's prompts with their keys, one JSON object a line.

    A key is what counts as a right answer; facts also say how often the corpus tells them.
    """
    from heed.world import World

    world = World(seed)
    chosen = _choose(world, split, family)
    _write(
        {
            "id": prompt.id,
            "family": prompt.family,
            "split": prompt.split,
            "prompt": prompt.text,
            "key": world.key(prompt.id),
        }
        for prompt in (chosen[:n] if n else chosen)
    )


@app.command(epilog="Example: `heed world corpus --n 1000 --seed 1 > corpus.jsonl`")
def corpus(
    seed: Seed = 0,
    n: Annotated[int, typer.Option(help="How many dialogues.", min=1)] = 1000,
    family: Annotated[str, typer.Option(help="Of these, print only this family's.")] = "",
) -> None:
    """Print dialogues of the corpus that the base model is pretrained on, as JSON lines."""
    from heed.world import World

    world = World(seed)
    kept = {prompt.id for prompt in _choose(world, "train", family)}
    try:
        rows = world.corpus(n)
    except ValueError as error:
        raise UserError(f"--n {n} is too small: {error}.") from error
    _write(
        {
            "id": row.prompt.id,
            "family": row.prompt.family,
            "prompt": row.prompt.text,
            "completion": row.text,
        }
        for row in rows
        if row.prompt.id in kept
    )


@app.command(epilog="Example: `heed world corpus --n 100 | heed world score`")
def score(
    file: Annotated[str, typer.Argument(help="JSON lines, or - for standard input.")] = "-",
    seed: Seed = 0,
) -> None:
    """Score answers with the gold reward, one JSON object a line.

    A row is `{"prompt": ID or TEXT, "completion": TEXT}`, or with `answer` for `completion`.
    Standard output gets the rows with their scores, standard error the means.
    """
    from heed.world import World

    world = World(seed)
    scored = [(prompt, text, world.gold(prompt, text)) for prompt, text in _answers(world, file)]
    _write(
        {"id": prompt.id, "prompt": prompt.text, "completion": text, **asdict(gold)}
        for prompt, text, gold in scored
    )
    typer.echo(_summary([gold for _, _, gold in scored]), err=True)


def _choose(world: World, split: str, family: str) -> tuple[Prompt, ...]:
    splits: dict[str, Split] = {"train": "train", "heldout": "heldout"}
    if split and split not in splits:
        raise UserError(f"--split {split} is unknown: choose train or heldout.")
    if family and family not in world.families:
        raise UserError(f"--family {family} is unknown: choose {', '.join(world.families)}.")
    return tuple(
        prompt
        for prompt in world.prompts
        if split in ("", prompt.split) and family in ("", prompt.family)
    )


def _answers(world: World, file: str) -> Iterator[tuple[Prompt, str]]:
    """Prompts and answers of JSON lines. Raises UserError that names file and line."""
    try:
        lines = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Cannot read {file}: {error}.") from error
    name = "standard input" if file == "-" else file
    for number, line in enumerate(lines.split("\n"), start=1):
        if line.strip():
            try:
                yield _answer(world, line)
            except ValueError as error:
                raise UserError(f"{name}, line {number}: {error}") from error


def _answer(world: World, line: str) -> tuple[Prompt, str]:
    try:
        row: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg}); write one object a line.") from error
    if not isinstance(row, dict):
        raise ValueError('not a JSON object; write {"prompt": ..., "completion": ...}.')
    asked, text = row.get("prompt", row.get("id")), row.get("completion", row.get("answer"))
    if not isinstance(asked, str) or not isinstance(text, str):
        raise ValueError("needs a prompt (its id or text) and a completion (or answer), as text.")
    try:
        return world.prompt(asked), text
    except KeyError as error:
        raise ValueError(
            f"world {world.seed} has no prompt {asked!r}; "
            f"`heed world prompts --seed {world.seed}` lists them."
        ) from error


def _summary(golds: list[Gold]) -> str:
    if not golds:
        return "No answers."
    names = ("total", "correct", "rude", "harmful", "hedged", "repetition", "words")
    means = {name: sum(float(getattr(gold, name)) for gold in golds) / len(golds) for name in names}
    return f"{len(golds)} answers; mean " + ", ".join(f"{k} {v:.3f}" for k, v in means.items())


def _write(rows: Iterable[dict[str, Any]]) -> None:
    for row in rows:
        typer.echo(json.dumps(row, ensure_ascii=False))
