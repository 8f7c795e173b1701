"""What a gate found: a statistic beside its threshold, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """One look of a gate at something.

    A gate trips where its statistic lies beyond its threshold, which it does by chance in a share
    `false_alarms` of the cases in which nothing is wrong (over a whole run, for gates that look at
    every iteration).
    """

    gate: str
    """The gate's name in a recipe's `gates`."""
    statistic: float
    threshold: float
    false_alarms: float
    tripped: bool
    says: str
    """What was found, with its figures, and what to do about it where it tripped."""

    def to_json(self) -> dict[str, Any]:
        """As it stands in a stage's gates.jsonl."""
        return {name: getattr(self, name) for name in self.__slots__}
