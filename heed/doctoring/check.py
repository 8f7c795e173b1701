"""One thing that was looked at, and how it stands."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["fine", "note", "missing", "broken"]
"""fine; worth knowing; an optional thing that is not there; something that Heed needs."""


@dataclass(frozen=True, slots=True)
class Check:
    """`says` is for reading, `value` for programs; `remedy` is what to do, where there is any."""

    group: str
    name: str
    level: Level
    says: str
    remedy: str = ""
    value: Any = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
