"""`heed report`: a run's page, or one of several side by side, from what their directories hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from heed.errors import UserError

Runs = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN...",
        help="A run's directory, finished or not, or that of several seeds; two runs or more are "
        "held against the first.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="PAGE.html",
        help="Where a page of several runs goes; else beside the last.",
    ),
]


def report(runs: Runs, out: Out = None) -> None:
    """Write report.html and report.json (league.html and league.json for several seeds) anew and
    print where they are. Of two runs or more: one page that compares them.

    [dim]Examples:[/]  heed report runs/demo   heed report runs/demo runs/tight --out tight.html
    """
    from heed.report.league_page import write_league
    from heed.report.page import write_report
    from heed.report.side_by_side import write_side_by_side
    from heed.run import seeds_of

    if len(runs) > 1:
        if out is not None and out.suffix != ".html":
            raise UserError(f"--out {out}: name a page, such as side_by_side.html.")
        typer.echo(f"Report: {write_side_by_side(runs, out)}")
        return
    if out is not None:
        raise UserError("A single run's page stands in its own directory; --out goes with several.")
    (run,) = runs
    typer.echo(f"Report: {write_league(run) if seeds_of(run) else write_report(run)}")
