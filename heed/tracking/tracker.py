"""What a tracker is to Heed, and which there are.

A new one is a class with these methods, a line in `PACKAGES` and one in `TRACKERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from heed.errors import UserError


@dataclass(frozen=True)
class Tracked:
    """The run that a tracker is told of."""

    name: str
    """What people read: the run's directory."""
    id: str
    """The same for every process of a run, another one where a setting that counts has changed."""
    directory: Path
    """Where a tracker may keep what it writes to the disk."""
    settings: Mapping[str, Any]
    """The resolved recipe, as plain values."""
    page: str
    """The same as YAML."""


class Tracker(Protocol):
    """Shows what it is told. It may raise whatever it likes: it is then told no more."""

    @property
    def lasting(self) -> bool:
        """Whether what was sent by an earlier process stays, so that it is not sent again; any
        other tracker begins anew with each process and is told the run's story from the start.
        """
        ...

    def scalars(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """One iteration's metrics of a stage; steps come in order, each once."""
        ...

    def text(self, name: str, text: str) -> None:
        """A text, in Markdown."""
        ...

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table; one of the same name takes its place."""
        ...

    def figures(self, values: Mapping[str, float]) -> None:
        """What a finished stage came to, by name."""
        ...

    def close(self) -> None:
        """Hand over what is still held back."""
        ...


def tensorboard(run: Tracked) -> Tracker:
    """Event files in the run's own directory."""
    from heed.tracking.tensorboard import TensorBoard

    return TensorBoard(run)


def wandb(run: Tracked) -> Tracker:
    """W&B: a file in the run's own directory, or its server where WANDB_MODE says so."""
    from heed.tracking.weights_and_biases import WeightsAndBiases

    return WeightsAndBiases(run)


def trackio(run: Tracked) -> Tracker:
    """trackio's store on this machine, or a Space or server that the environment names."""
    from heed.tracking.local_store import Trackio

    return Trackio(run)


TRACKERS: Mapping[str, Callable[[Tracked], Tracker]] = {
    "tensorboard": tensorboard,
    "wandb": wandb,
    "trackio": trackio,
}
PACKAGES: Mapping[str, Sequence[str]] = {
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
    "trackio": ("trackio",),
}
"""What each needs, beside Heed."""


def require(names: Sequence[str]) -> None:
    """Raise UserError where a tracker's package is not installed."""
    missing = [each for name in names for each in PACKAGES[name] if find_spec(each) is None]
    if missing:
        raise UserError(
            f"track: {' and '.join(missing)} cannot be imported here. Install with: python -m pip "
            f"install {' '.join(missing)} (or 'heed[tracking]' for all trackers), or leave the "
            "tracker out of track: nothing else needs it."
        )


def as_markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as Markdown writes it, every row on a line."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return "<br>".join(escaped.splitlines())
