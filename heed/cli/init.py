"""`heed init`: the recipe that `heed align` would run, written and not run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from heed.cli import choosing
from heed.cli.choosing import Adapter, Imitate, Method, Model, Prefs, Seed, SkipBroken
from heed.cli.run import Overrides
from heed.errors import UserError


def init(
    model: Model,
    prefs: Prefs,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Where the recipe goes; to stdout if left out."),
    ] = None,
    method: Method = None,
    lora: Adapter = None,
    sft: Imitate = None,
    set_: Overrides = None,
    skip_broken: SkipBroken = False,
    seed: Seed = 0,
    force: Annotated[bool, typer.Option("--force", help="Write over another file.")] = False,
) -> None:
    """Write the recipe that suits a model, preferences and this machine, every setting with its
    reason; heed run carries it out.

    [dim]Example:[/]  heed init ./my-model prefs.jsonl --out mine.yaml && heed run mine.yaml
    """
    if out is not None and out.exists() and not force:
        raise UserError(
            f"{out} exists. Name another file with --out, or overwrite it with --force."
        )
    wish = choosing.wish_of(model, prefs, method, lora, sft, set_, seed, skip_broken)
    name = choosing.name_of(wish) if out is None else choosing.plain(out.stem)
    prepared = choosing.chosen(wish, name)
    choosing.refuse_broken(prepared, wish, Path(f"{out or name}.aside"))
    choosing.tell(prepared, to_stderr=True)
    if out is None:
        typer.echo(prepared.text, nl=False)
        return
    from heed.files import write_text

    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, prepared.text)
    typer.echo(f"\nWritten to {out}. Next:\n  heed plan {out}\n  heed run {out}", err=True)
