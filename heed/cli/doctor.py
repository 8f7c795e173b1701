"""`heed doctor`: what this machine has, what is missing, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from heed.doctoring.check import Check, Level

SIGNS: Mapping[Level, tuple[str, str, str]] = {
    "fine": ("✓", "ok", "green"),
    "note": ("·", "--", "yellow"),
    "missing": ("–", "no", "dim"),
    "broken": ("✗", "!!", "red bold"),
}
"""Level -> its sign, the sign where letters are ASCII, and its colour."""


def doctor(
    runs: Annotated[
        Path, typer.Argument(metavar="RUNS", help="Where runs are to be written.")
    ] = Path("runs"),
    quick: Annotated[bool, typer.Option("--quick", help="Measure no speed.")] = False,
    online: Annotated[
        bool, typer.Option("--online", help="Ask whether the hub can be reached, too.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say what this machine has of what Heed needs, what is missing and what to do.

    Nothing is changed, and nothing goes online without --online. Exit code 1 where something that
    Heed needs is broken.

    [dim]Example:[/]  heed doctor --quick
    """
    from rich.console import Console

    from heed import __version__
    from heed.doctoring.examination import examine, of, summary

    console = Console()
    looking = Console(stderr=True).status("Looking (the libraries take some seconds) ...")
    with looking:
        checks = list(examine(runs, quick=quick, online=online))
    broken = of(checks, "broken")
    if json_:
        told = [check.to_json() for check in checks]
        whole = {"heed": __version__, "ok": not broken, "summary": summary(checks), "checks": told}
        typer.echo(json.dumps(whole, indent=2))
    else:
        plain = (console.encoding or "").lower().replace("-", "") != "utf8"
        for line in _page(checks, plain=plain):
            console.print(line, highlight=False, soft_wrap=True)
    if broken:
        raise typer.Exit(1)


def _page(checks: list[Check], *, plain: bool) -> list[str]:
    """Group by group, as rich markup; then the summary."""
    from rich.markup import escape

    from heed.doctoring.examination import summary

    lines = []
    for group, own in groupby(checks, key=lambda check: check.group):
        lines.append(f"[bold]{escape(group)}[/]")
        lines += [_line(check, plain=plain) for check in own]
    lines += ["", *(escape(line) for line in summary(checks))]
    return [line.encode("ascii", "replace").decode() for line in lines] if plain else lines


def _line(check: Check, *, plain: bool) -> str:
    from rich.markup import escape

    sign, letters, colour = SIGNS[check.level]
    how = f"  [dim]-> {escape(check.remedy)}[/]" if check.remedy else ""
    return (
        f"  [{colour}]{letters if plain else sign}[/] {escape(check.name):<18} "
        f"{escape(check.says)}{how}"
    )
