"""`heed report`: a run's page, from what its directory holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="A run's directory, finished or not.")],
) -> None:
    """Write report.html and report.json anew and print where they are.

    [dim]Example:[/]  heed report runs/demo
    """
    from heed.report.page import write_report

    typer.echo(f"Report: {write_report(run)}")
