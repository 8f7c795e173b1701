"""What the stages of a run spent, by their markers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heed.planning.passes import HOWS


@dataclass(frozen=True, slots=True)
class Spent:
    """One finished stage; what an older marker does not tell is None or absent.

    `tokens`: by how they went through a model. `joules`: by what counted them.
    """

    name: str
    kind: str
    seconds: float
    memory: float | None = None
    tokens: Mapping[str, float] = field(default_factory=dict)
    flops: float | None = None
    answers: float | None = None
    labels: float | None = None
    minutes: float | None = None
    joules: Mapping[str, float] = field(default_factory=dict)

    @property
    def label_seconds(self) -> float | None:
        """What a label took; None where there is none with a time."""
        return 60 * self.minutes / self.labels if self.labels and self.minutes else None


def spent_by(directory: Path) -> dict[str, Spent]:
    """The finished stages of a run's directory, by name; markers that cannot be read are none."""
    found = {}
    for path in sorted(directory.glob("*/done.json")):
        try:
            marker = json.loads(path.read_text(encoding="utf-8"))
            found[path.parent.name] = spent_of(path.parent.name, marker)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return found


def spent_of(name: str, marker: Mapping[str, Any]) -> Spent:
    """What a marker says.

    One of before tokens were counted has those alone that the training loop added up, which does
    not add those of a critic.
    """
    counted = marker.get("spent") or {}
    summary = marker.get("summary") or {}
    tokens: dict[str, float] = (
        {how: float(counted.get(how, 0.0)) for how in HOWS} if counted else {}
    )
    if not counted and isinstance(summary.get("tokens"), int | float):
        critics = 2 if marker["kind"] == "ppo" else 1
        tokens = {"trained": float(summary["tokens"]) * critics}
    asked = marker["kind"] == "collect"
    return Spent(
        name=name,
        kind=str(marker["kind"]),
        seconds=float(marker["seconds"]),
        memory=_number(marker.get("memory")),
        tokens=tokens,
        flops=_number(counted.get("flops")),
        answers=_number(counted.get("answers")),
        labels=_number(summary.get("annotations")) if asked else None,
        minutes=_number(summary.get("minutes")) if asked else None,
        joules=dict(_joules(counted)),
    )


def _joules(counted: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in counted.items():
        if name.startswith("joules_"):
            yield name.removeprefix("joules_"), float(value)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
