"""`heed align`: a better model from a model and preferences, in one command.

OUT/align.yaml   the recipe that was chosen, with its reasons; heed run carries it out likewise
OUT/align.json   what was asked for, so that the same command goes on with the same recipe
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heed.cli import choosing
from heed.cli.choosing import Adapter, Imitate, Method, Model, Prefs, Seed, SkipBroken, Wish
from heed.cli.plan import PROBE, page, refuse
from heed.cli.run import Fresh, KeepFinished, Overrides, carry_out
from heed.errors import UserError

if TYPE_CHECKING:
    from heed.aligning import Prepared
    from heed.planning.ground import Ground
    from heed.recipe import Recipe

PAGE, WISH = "align.yaml", "align.json"


def align(
    model: Model,
    prefs: Prefs,
    method: Method = None,
    lora: Adapter = None,
    sft: Imitate = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="The run's directory; runs/MODEL-METHOD if left out, or runs/MODEL-aligned.",
        ),
    ] = None,
    set_: Overrides = None,
    skip_broken: SkipBroken = False,
    seed: Seed = 0,
    fresh: Fresh = False,
    keep_finished: KeepFinished = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and what it would cost.")
    ] = False,
) -> None:
    """Align a model with preferences: look at the data, choose a recipe and say why, run it, and
    measure whether the answers are better.

    The same command goes on where it was stopped. docs/align.md has the rules of the choice.

    [dim]Example:[/]  heed align ./my-model prefs.jsonl --method dpo --out runs/mine
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(
            "heed align is one process: several would each choose a recipe. Write it with heed "
            "init --out mine.yaml, then run torchrun --nproc-per-node N -m heed run mine.yaml."
        )
    wish = choosing.wish_of(model, prefs, method, lora, sft, set_, seed, skip_broken)
    directory = out or Path("runs") / choosing.name_of(wish)
    recipe = _kept(wish, directory)
    if recipe is None:
        prepared = choosing.chosen(wish, choosing.plain(directory.name))
        choosing.refuse_broken(prepared, wish, directory / "records.aside")
        choosing.tell(prepared)
        _plan(prepared.recipe, prepared.ground)
        recipe = prepared.recipe
        if not dry_run:
            from heed.lock import locked

            with locked(directory):  # the recipe of a process at work is not replaced
                _keep(prepared, wish, directory)
    elif dry_run:
        from heed.planning.look import look

        _plan(recipe, look(recipe))
    if dry_run:
        return
    carry_out(recipe, directory, fresh=fresh, keep_finished=keep_finished)
    if recipe.seeds == 1:
        from heed.cli.aligned import ending

        typer.echo(ending(directory, recipe))


def _kept(wish: Wish, directory: Path) -> Recipe | None:
    """The recipe that an earlier call with the same wish wrote; None where there is none.

    Raises UserError where the directory holds something else, or a recipe that was edited and would
    be lost.
    """
    path = directory / PAGE
    if not path.exists():
        if (directory / "recipe.yaml").exists():
            raise UserError(
                f"{directory} holds a run that heed align did not make. Name another directory "
                "with --out."
            )
        return None
    try:
        before = json.loads((directory / WISH).read_text(encoding="utf-8"))
        changes, written = wish.changes(before["wish"]), str(before["written"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{directory / WISH}, which says what {path} was chosen for, cannot be read ({error}). "
            f"Run the recipe with heed run {path} --out {directory}, or name another directory "
            "with --out."
        ) from error
    if not changes:
        typer.echo(f"The recipe is {path}, as before.", err=True)
        from heed.config import load_recipe

        return load_recipe(str(path))
    if _mark(path.read_bytes()) != written:
        raise UserError(
            f"{path} was edited since heed align wrote it, and the command is another "
            f"({'; '.join(changes)}). Run the edited recipe with heed run {path} --out "
            f"{directory}, or name another directory with --out."
        )
    typer.echo(
        f"{'; '.join(changes)}: the recipe is chosen anew. Finished stages whose settings stay are "
        "kept, the others are done again.",
        err=True,
    )
    return None


def _plan(recipe: Recipe, ground: Ground) -> None:
    """Print what the recipe will cost. Raises UserError where it does not fit into the memory."""
    from heed.planning.plan import make_plan
    from heed.stages.planned import machine_of

    machine = machine_of(recipe, PROBE)
    made = make_plan(ground, machine)
    typer.echo("\n" + "\n".join(page(made)) + "\n")
    refuse(made, ground, machine)


def _keep(prepared: Prepared, wish: Wish, directory: Path) -> None:
    from heed.files import write_json, write_text

    text = prepared.text
    # The wish first: a recipe always stands beside what it was chosen for.
    write_json(directory / WISH, {"wish": asdict(wish), "written": _mark(text.encode())})
    write_text(directory / PAGE, text)


def _mark(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
