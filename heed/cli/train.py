"""`heed train`: one stage of a recipe and what it needs."""

from __future__ import annotations

from typing import Annotated

import typer

from heed.cli.run import Fresh, KeepFinished, Out, Overrides, carry_out
from heed.errors import UserError


def train(
    method: Annotated[
        str, typer.Argument(help="A stage of the recipe: pretrain, sft, reward, ppo, dpo, ...")
    ],
    recipe: Annotated[
        str, typer.Option("--recipe", help="The recipe that holds the stage.")
    ] = "quickstart",
    set_: Overrides = None,
    out: Out = None,
    fresh: Fresh = False,
    keep_finished: KeepFinished = False,
) -> None:
    """Train by one method: its stage, and the stages it reads from.

    It shares the recipe's run directory, so what is finished there is not done again.

    [dim]Example:[/]  heed train dpo --recipe quickstart --set dpo.beta=0.3
    """
    from heed.config import load_recipe

    whole = load_recipe(recipe, set_ or [])
    names = [stage.name for stage in whole.stages]
    if method not in names:
        raise UserError(
            f"The recipe {whole.name!r} has no stage {method!r}. It has: {', '.join(names)}."
        )
    carry_out(whole, out, fresh=fresh, only=method, keep_finished=keep_finished)
