"""`heed run`: a recipe from its first stage to its report."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heed.errors import UserError

if TYPE_CHECKING:
    from heed.feedback.people import Desk
    from heed.recipe import People, Recipe
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
KeepFinished = Annotated[
    bool,
    typer.Option(
        "--keep-finished",
        help="Take over what another version of Heed finished under the same settings.",
    ),
]


def run(
    recipe: RecipeName,
    set_: Overrides = None,
    out: Out = None,
    fresh: Fresh = False,
    keep_finished: KeepFinished = False,
) -> None:
    """Run a recipe; finished stages are skipped, an unfinished one goes on.

    [dim]Example:[/]  heed run quickstart --set ppo.kl.coef=0.1 --out runs/tight
    """
    from heed.config import load_recipe

    carry_out(load_recipe(recipe, set_ or []), out, fresh=fresh, keep_finished=keep_finished)


def carry_out(
    recipe: Recipe,
    out: Path | None,
    *,
    fresh: bool,
    only: str | None = None,
    keep_finished: bool = False,
) -> None:
    """Bring a recipe (or one stage of it and what that needs) to its end, under every seed that it
    asks for, and say where the result is. `keep_finished`: see `heed.upgrade`.

    Raises:
      UserError: the directory holds several seeds and the recipe asks for one, or the reverse.
    """
    from heed.run import SEED, Run

    if fresh and keep_finished and only is None:
        raise UserError(
            "--fresh does every stage again, and --keep-finished takes over what is finished. Give "
            "one of the two; heed train STAGE takes both, for the stages that it does not need."
        )
    directory = out or Path("runs") / recipe.name
    several = recipe.seeds > 1
    _look_for_others(directory, several=several)
    places = [
        Run(own, directory / f"{SEED}{own.seed}" if several else directory, writes=_first())
        for own in recipe.by_seed()
    ]
    unfinished = [place for place in places if fresh or place.pending(_part(place, only))]
    with _processes(needed=bool(unfinished)):
        for place in places:
            if place in unfinished:
                _work(place, fresh=fresh, only=_part(place, only), keep_finished=keep_finished)
            else:
                _say(
                    f"All stages of {recipe.name!r} in {place.directory} are finished; nothing to "
                    "do."
                )
                _tell(place)
    if _first():
        report = None if only else _report(recipe, directory)
        typer.echo(f"Report: {report}" if report else f"Run: {directory}")


def _part(place: Run, only: str | None) -> Recipe | None:
    return None if only is None else place.recipe.needed_for(only)


def _look_for_others(directory: Path, *, several: bool) -> None:
    from heed.run import seeds_of

    if several and (directory / "recipe.yaml").exists():
        raise UserError(
            f"{directory} holds a single run, and the recipe asks for several (`seeds`), which "
            "want a directory of their own. Name another one with --out."
        )
    if not several and seeds_of(directory):
        raise UserError(
            f"{directory} holds the runs of several seeds, and the recipe asks for one (`seeds: "
            "1`). Name another directory with --out."
        )


def _processes(*, needed: bool) -> AbstractContextManager[object]:
    """The processes that torchrun started, joined once for all seeds: they cannot join again."""
    if not needed:
        return nullcontext()
    if "heed.pipeline" not in sys.modules:
        _say("Loading torch and transformers ...")
    from heed.loading import uncollected

    with uncollected():
        from heed.pipeline import processes

    return processes()


def _report(recipe: Recipe, directory: Path) -> Path | None:
    """The page about the run or its seeds, where there is one."""
    if recipe.seeds > 1:
        from heed.recipe import Evaluate

        if not any(isinstance(stage, Evaluate) for stage in recipe.stages):
            return None
        from heed.report.league_page import write_league

        return write_league(directory, recipe)
    report = directory / "report.html"
    return report if report.exists() else None


def _work(place: Run, *, fresh: bool, only: Recipe | None, keep_finished: bool) -> None:
    from heed.files import discard
    from heed.upgrade import take_over

    thrown = [stage.name for stage in (only or place.recipe).stages] if fresh else []
    with place.locked() if place.writes else nullcontext():
        if place.writes:
            for line in take_over(place, thrown=thrown, keep_finished=keep_finished):
                _say(line)
            for name in thrown:
                discard(place.directory / name)
        _say(f"Running {place.recipe.name!r} in {place.directory}")
        from heed.pipeline import run_recipe

        run_recipe(place, _say, only, _desk)


def _desk(settings: People) -> Desk:
    from heed.cli.desk import open_desk

    return open_desk(settings)


def _tell(place: Run) -> None:
    """Tell the trackers of a finished run, where there are: they may be new to it."""
    if place.recipe.track and place.writes:
        from heed.tracking.following import followed

        with place.locked(), followed(place, _say):
            _say(f"Told of it: {', '.join(place.recipe.track)}.")


def _say(line: str) -> None:
    if _first():
        typer.echo(line, err=True)


def _first() -> bool:
    """Whether this is the first of the processes that torchrun started, or the only one."""
    return os.environ.get("RANK", "0") == "0"
