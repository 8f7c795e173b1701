"""A run at one moment, as a terminal and a page show it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from heed.report.measures import Measure

RunState = Literal["not begun", "running", "finished", "stopped"]
StageState = Literal["waiting", "begun", "running", "done"]


@dataclass(frozen=True, slots=True)
class StageNow:
    """Where one stage stands."""

    name: str
    kind: str
    state: StageState
    step: int = 0
    """Iterations of its training that are behind it."""
    of: int | None = None
    """Iterations that it will have, where that is known."""
    seconds: float | None = None
    left: float | None = None
    """Seconds, at the pace of its last iterations."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """A metric of the stage that is shown, thinned, and its last value."""

    metric: str
    what: Measure
    steps: list[float]
    values: list[float]
    last: float


@dataclass(frozen=True, slots=True)
class Found:
    """What a gate found."""

    stage: str
    gate: str
    step: int | None
    tripped: bool
    says: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """An answer that the policy drew in training."""

    step: int
    prompt: str
    family: str
    answer: str
    finished: bool
    reward: float | None
    kl: float | None


@dataclass(frozen=True, slots=True)
class Frame:
    """All that is shown of a run at one moment."""

    directory: Path
    state: RunState
    name: str = ""
    stages: tuple[StageNow, ...] = ()
    shown: str | None = None
    """The stage whose curves these are: the one asked for; else the running one if it trains, or
    the last that did."""
    curves: tuple[Curve, ...] = ()
    findings: tuple[Found, ...] = ()
    drawn: tuple[Drawn, ...] = ()
    """The latest first."""
    drawn_in: str | None = None
    """The stage that drew them: the one that is shown, else the last that drew any."""
    seeds: dict[str, RunState] = field(default_factory=dict)
    """The runs beside it, where several seeds stand side by side."""
