"""Progress of long work: a bar with rate, time left and the numbers that matter.

On a terminal a live bar; elsewhere (a log, CI) a plain line every tenth of the way.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

LINES = 10
"""Lines a stage prints where there is no terminal."""


class _Rate(ProgressColumn):
    """Steps a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else _rate(speed), style="dim")


class Display:
    """Shows `total` steps of `label`; `shown` names the metrics printed beside the bar.

    `before` is how many of the steps were done when this process began, which its rate leaves out;
    where it is not told, all but one of those that the first call speaks of.
    """

    def __init__(
        self,
        label: str,
        total: int,
        shown: Sequence[str] = (),
        *,
        before: int | None = None,
        visible: bool = True,
    ) -> None:
        self.label = label
        self.total = total
        self.shown = shown
        self.visible = visible
        self.console = Console(stderr=True)
        self.first = before
        self.tenths = 0

    def __enter__(self) -> Self:
        self.bar = Progress(
            TextColumn("[bold]{task.description:<10}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[numbers]}"),
            console=self.console,
            disable=not (self.visible and self.console.is_terminal),
        )
        self.task = self.bar.add_task(self.label, total=self.total, numbers="")
        self.bar.start()
        self.began = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def __call__(self, done: int, metrics: Mapping[str, float] | None = None) -> None:
        """Show that `done` of the steps are behind us."""
        if not self.visible:
            return
        numbers = "  ".join(
            f"{name} {metrics[name]:.3g}" for name in self.shown if metrics and name in metrics
        )
        # A resumed run starts in the middle: its rate counts only what this process did.
        first = self.first = done - 1 if self.first is None else self.first
        self.bar.update(self.task, completed=done, numbers=numbers)
        # Work may come in steps of any size, and a step may bring none.
        tenths = done * LINES // self.total
        if not self.console.is_terminal and tenths > self.tenths:
            self.tenths = tenths
            seconds = time.monotonic() - self.began
            rate = (done - first) / seconds if seconds > 0 else 0.0
            left = (self.total - done) / rate if rate > 0 else 0.0
            parts = [f"{done}/{self.total}", _rate(rate), f"{left:.0f} s left", numbers]
            line = f"{self.label:<10} {'  '.join(parts)}"
            self.console.print(line, highlight=False, soft_wrap=True)


def _rate(speed: float) -> str:
    return f"{speed:.1f}/s" if speed >= 1 or speed == 0 else f"{1 / speed:.1f} s each"
