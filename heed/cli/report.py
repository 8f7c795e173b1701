"""`heed report`: a run's page, from what its directory holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[
        Path, typer.Argument(help="A run's directory, finished or not, or that of several seeds.")
    ],
) -> None:
    """Write report.html and report.json (league.html and league.json for several seeds) anew and
    print where they are.

    [dim]Example:[/]  heed report runs/demo
    """
    from heed.report.league_page import write_league
    from heed.report.page import write_report
    from heed.run import seeds_of

    typer.echo(f"Report: {write_league(run) if seeds_of(run) else write_report(run)}")
