"""`heed watch`: a run as it goes, in the terminal or as a page."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from heed.errors import UserError

if TYPE_CHECKING:
    from heed.report.frames import Curve, Found, Frame, StageNow
    from heed.report.live import Watch

HOST, PORT = "127.0.0.1", 8766
PAUSE = 1.0
"""Seconds between two looks."""
PATIENCE = 5
"""Looks for which all seeds must be finished: between two of them nothing runs for a moment."""
NEAR = 3
"""Stages shown before and behind the one that runs, where there are too many for the window."""
STATES = {
    "not begun": "not begun yet",
    "running": "running",
    "finished": "finished",
    "stopped": "stopped: no process works on it; heed run goes on with it",
}
_MARKS = {"done": ("✓", "green"), "running": ("▶", "bold cyan"), "begun": ("‖", "yellow"),
          "waiting": ("·", "dim")}  # fmt: skip
_COLOURS = {"running": "bold cyan", "finished": "bold green", "stopped": "bold yellow"}

RunDirectory = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run's directory, or that of several seeds.")
]
Once = Annotated[bool, typer.Option("--once", help="Print what is there now, and end.")]
Stage = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Whose curves and answers to show; else the one that trains, or the last that did.",
    ),
]
Web = Annotated[bool, typer.Option("--web", help="As a page in the browser that renews itself.")]
Host = Annotated[
    str | None,
    typer.Option(help="With --web: where to listen, 127.0.0.1; 0.0.0.0 lets other machines in."),
]
Port = Annotated[
    int | None,
    typer.Option(min=0, max=65_535, help="With --web: 8766 by default; 0 takes any that is free."),
]


def watch(
    run: RunDirectory,
    stage: Stage = None,
    once: Once = False,
    web: Web = False,
    host: Host = None,
    port: Port = None,
) -> None:
    """Watch a run: its stages, curves, gates and fresh answers, as they come.

    It may be running, finished, broken off, or not begun yet; watching changes nothing in it.

    [dim]Examples:[/]  heed watch runs/demo   heed watch runs/demo --web
    """
    from heed.report.live import Watch

    if web:
        if once:
            raise UserError("--once prints a frame in the terminal, --web serves a page: take one.")
        if stage is not None:
            raise UserError("The page of --web shows every stage by its link; leave --stage out.")
        _serve(run, host or HOST, PORT if port is None else port)
        return
    if host is not None or port is not None:
        raise UserError("--host and --port say where a page is served: add --web.")
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal may know fewer letters than texts use
    console = Console(highlight=False)
    looking = Watch(run)
    if once or not console.is_terminal:
        console.print(picture(looking.look(stage), console, whole=True))
        return
    try:
        _follow(looking, stage, console)
    except KeyboardInterrupt:
        return


def _serve(run: Path, host: str, port: int) -> None:
    """Serve the page until Ctrl-C; only who has the link sees it."""
    from heed.report.live import Watch
    from heed.web.access import new_secret
    from heed.web.server import address, is_loopback, listen, serve
    from heed.web.watching import create_watch_app

    Watch(run).look()  # a directory that is no run's is said at once
    token = new_secret()
    sock = listen(host, port)
    typer.echo(f"Watching {run}. Open this link, which is for you alone; Ctrl-C ends.")
    # Not in a browser's command line, which everyone on this machine can read.
    typer.echo(f"{address(sock, host)}/enter/{token}")
    serve(create_watch_app(run, token, loopback=is_loopback(host)), sock)


def _follow(looking: Watch, stage: str | None, console: Console) -> None:
    """Show frame after frame until all is finished; the last one stays."""
    calm = 0
    frame = looking.look(stage)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            live.update(picture(frame, console), refresh=True)
            states = list(frame.seeds.values()) or [frame.state]
            calm = calm + 1 if all(state == "finished" for state in states) else 0
            if calm and (not frame.seeds or calm >= PATIENCE):
                return
            time.sleep(PAUSE)
            frame = looking.look(stage)


def picture(frame: Frame, console: Console, *, whole: bool = False) -> RenderableType:
    """A frame for the terminal; what does not fit its window is left out unless it is `whole`."""
    parts: list[RenderableType] = [_title(frame)]
    if frame.state == "not begun":
        waits = "" if whole else " Waiting for heed run to begin; Ctrl-C ends."
        parts.append(Text(f"Nothing stands in {frame.directory} yet.{waits}", style="dim"))
        return Group(*parts)
    rows = 10_000 if whole else console.height - 1
    stages = _near(frame.stages, whole=whole or len(frame.stages) + 12 <= rows)
    parts += [_stages(stages, frame.stages), *_gates(frame.findings)]
    left = rows - len(stages) - len(parts) - 1
    curves = _curves(frame, console)
    for show in (curves, _drawn(frame)):
        lines = console.render_lines(Group(*show), pad=False) if show else []
        if lines and len(lines) <= left:
            parts += show
            left -= len(lines)
        elif lines and left > 4:
            parts += _shortened(show, console, left)
            left = 0
    return Group(*parts)


def _shortened(show: Sequence[RenderableType], console: Console, left: int) -> list[RenderableType]:
    """As many of the pieces as fit, from the first."""
    kept: list[RenderableType] = []
    for piece in show:
        left -= len(console.render_lines(piece, pad=False))
        if left < 0:
            break
        kept.append(piece)
    return kept if len(kept) > 2 else []


def _title(frame: Frame) -> Text:
    title = Text.assemble((frame.name or frame.directory.name, "bold"), "  ",
                          (STATES[frame.state], _COLOURS.get(frame.state, "dim")))  # fmt: skip
    if frame.seeds:
        each = "  ".join(f"{name} {state}" for name, state in frame.seeds.items())
        title.append(f"\n{each}; this is {frame.directory.name}", style="dim")
    return title


def _near(stages: Sequence[StageNow], *, whole: bool) -> Sequence[StageNow]:
    """The stages around the one that runs, or around the first that waits."""
    if whole:
        return stages
    at = next((i for i, stage in enumerate(stages) if stage.state != "done"), len(stages) - 1)
    return stages[max(0, at - NEAR) : at + NEAR + 1]


def _stages(shown: Sequence[StageNow], of: Sequence[StageNow]) -> Table:
    from heed.report.measures import duration

    table = Table.grid(padding=(0, 2))
    for stage in shown:
        mark, style = _MARKS[stage.state]
        steps = f"{stage.step}/{stage.of or '?'}" if stage.step else ""
        bar: RenderableType = ""
        if stage.state in ("running", "begun") and stage.of:
            bar = ProgressBar(total=stage.of, completed=stage.step, width=20)
        left = "" if stage.left is None else f"{duration(stage.left)} left"
        took = "" if stage.seconds is None else duration(stage.seconds)
        table.add_row(
            Text(mark, style=style), Text(stage.name, style=style), bar,
            Text(steps, justify="right"), Text(took, style="dim", justify="right"),
            Text("  ".join(word for word in (left, stage.note) if word)),
        )  # fmt: skip
    if len(shown) < len(of):
        done = sum(stage.state == "done" for stage in of)
        table.add_row("", Text(f"{done} of {len(of)} done", style="dim"))
    return table


def _gates(findings: Sequence[Found]) -> list[RenderableType]:
    """What tripped, in words; of the others how many there are."""
    if not findings:
        return []
    tripped = [each for each in findings if each.tripped]
    lines: list[RenderableType] = [
        Text.assemble((f"Gate {each.gate} tripped in {each.stage}{_at(each.step)}. ", "bold red"),
                      each.says)
        for each in tripped
    ]  # fmt: skip
    quiet = len(findings) - len(tripped)
    lines.append(Text(f"Gates: {quiet} asked without a finding.", style="dim"))
    return lines


def _at(step: int | None) -> str:
    return f" at iteration {step}" if step else ""


def _curves(frame: Frame, console: Console) -> list[RenderableType]:
    if not frame.curves:
        return []
    columns = max(1, min(3, console.width // 36))
    width = min(40, console.width // columns - 3)
    height = 3 if console.height >= 36 else 2
    drawn = [_curve(curve, width, height, dots=console.encoding.startswith("utf"))
             for curve in frame.curves]  # fmt: skip
    pieces: list[RenderableType] = [Text(f"\nCurves of {frame.shown}", style="bold")]
    for start in range(0, len(drawn), columns):
        row = Table.grid(padding=(0, 3))
        row.add_row(*drawn[start : start + columns])
        pieces.append(row)
    return pieces


def _curve(curve: Curve, width: int, height: int, *, dots: bool) -> RenderableType:
    from heed.cli.plots import braille
    from heed.report.measures import number

    what = curve.what
    unit = f" {what.unit}" if what.unit else ""
    head = Text.assemble(what.label, "  ", (number(curve.last), "bold"), (unit, "dim"))
    low, high = min(curve.values), max(curve.values)
    foot = Text(
        f"{number(low)} to {number(high)}, iteration {curve.steps[0]:.0f} to {curve.steps[-1]:.0f}",
        style="dim",
    )
    for line in (head, foot):
        line.truncate(width, overflow="ellipsis")
    lines = braille(curve.steps, curve.values, width, height) if dots else []
    return Group(head, *(Text(line, style="cyan") for line in lines), foot)


def _drawn(frame: Frame) -> list[RenderableType]:
    """The answers of the latest look."""
    from heed.report.measures import number

    latest = [each for each in frame.drawn if each.step == frame.drawn[0].step]
    if not latest:
        return []
    pieces: list[RenderableType] = [
        Text(f"\nAnswers that {frame.drawn_in} drew at iteration {latest[0].step}", style="bold")
    ]
    for each in latest:
        reward, kl = ("?" if x is None else number(x) for x in (each.reward, each.kl))
        figures = f"reward {reward}  KL {kl} nats"
        cut = "" if each.finished else " (cut)"
        pieces.append(Text(_line(each.prompt), style="dim", no_wrap=True, overflow="ellipsis"))
        answer = Text(f"  {_line(each.answer)}{cut}", no_wrap=True, overflow="ellipsis")
        pieces += [answer, Text(f"  {figures}", style="cyan")]
    return pieces


def _line(text: str) -> str:
    """A text on one line."""
    return " ".join(text.split())
