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
from heed.run import SEED, Run

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


def carry_out(recipe: Recipe, out: Path | None, *, fresh: bool, only: str | None = None) -> None:
    """Bring a recipe (or one stage of it and what that needs) to its end, under every seed that it
    asks for, and say where the result is.
    """
    directory = out or Path("runs") / recipe.name
    if recipe.seeds == 1:
        report = _bring_to_end(recipe, directory, fresh=fresh, only=only)
    else:
        for own in recipe.by_seed():
            _bring_to_end(own, directory / f"{SEED}{own.seed}", fresh=fresh, only=only)
        report = _league(directory) if only is None and _first() else directory
    if _first():
        typer.echo(f"Run: {report}" if report == directory else f"Report: {report}")


def _bring_to_end(recipe: Recipe, directory: Path, *, fresh: bool, only: str | None) -> Path:
    """Where the run's report is, or else the run."""
    place = Run(recipe, directory, writes=_first())
    part = None if only is None else recipe.needed_for(only)
    if fresh or place.pending(part):
        _work(place, fresh=fresh, only=part)
    else:
        _say(f"All stages of {recipe.name!r} in {directory} are finished; nothing to do.")
    report = directory / "report.html"
    return report if only is None and report.exists() else directory


def _league(directory: Path) -> Path:
    from heed.report.league_page import write_league

    return write_league(directory)


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
