"""`heed recipes`: what there is to run, and every setting of one."""

from __future__ import annotations

from typing import Annotated

import typer


def recipes(
    name: Annotated[
        str | None, typer.Argument(help="Print this recipe with every default written out.")
    ] = None,
) -> None:
    """List the shipped recipes, or print one in full.

    [dim]Example:[/]  heed recipes quickstart > mine.yaml && heed run mine.yaml
    """
    from rich.console import Console

    from heed.config import dump_recipe, load_recipe, recipe_names

    console = Console()
    if name is not None:
        text = dump_recipe(load_recipe(name))
        if console.is_terminal:
            from rich.syntax import Syntax

            console.print(Syntax(text, "yaml", background_color="default"))
        else:
            typer.echo(text, nl=False)
        return
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for shipped in recipe_names():
        table.add_row(f"[bold]{shipped}[/]", load_recipe(shipped).description.strip())
    console.print(table)
