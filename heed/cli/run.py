"""`heed run`: a recipe from its first stage to its report."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from shutil import rmtree
from typing import Annotated

import typer

from heed.config import load_recipe
from heed.recipe import Recipe
from heed.run import Run

RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A recipe's name (see heed recipes) or a YAML file.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; may be given many times."),
]
Out = Annotated[
    Path | None, typer.Option("--out", help="The run's directory; runs/RECIPE by default.")
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Throw away what these stages left and begin again.")
]


def run(recipe: RecipeName, set_: Overrides = None, out: Out = None, fresh: Fresh = False) -> None:
    """Run a recipe; finished stages are skipped, an unfinished one goes on.

    [dim]Example:[/]  heed run quickstart --set ppo.kl.coef=0.1 --out runs/tight
    """
    carry_out(load_recipe(recipe, set_ or []), out, fresh=fresh)


def carry_out(recipe: Recipe, out: Path | None, *, fresh: bool, only: Recipe | None = None) -> None:
    """Bring a recipe's stages (or some of them) to their end and say where the result is."""
    directory = out or Path("runs") / recipe.name
    place = Run(recipe, directory, writes=_first())
    if fresh or place.pending(only):
        _work(place, fresh=fresh, only=only)
    else:
        _say(f"All stages of {recipe.name!r} are finished; nothing to do.")
    if place.writes:
        report = directory / "report.html"
        typer.echo(f"Report: {report}" if only is None and report.exists() else f"Run: {directory}")


def _work(place: Run, *, fresh: bool, only: Recipe | None) -> None:
    _say(f"Running {place.recipe.name!r} in {place.directory}")
    from heed.cli.desk import open_desk
    from heed.pipeline import processes, run_recipe

    with processes(), place.locked() if place.writes else nullcontext():
        for stage in (only or place.recipe).stages if fresh and place.writes else ():
            rmtree(place.directory / stage.name, ignore_errors=True)
        run_recipe(place, _say, only, open_desk)


def _say(line: str) -> None:
    if _first():
        typer.echo(line, err=True)


def _first() -> bool:
    """Whether this is the first of the processes that torchrun started, or the only one."""
    return os.environ.get("RANK", "0") == "0"
