"""A row of a table of preferences, and one that cannot be used, with the place it came from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class RowError(ValueError):
    """Why a row cannot be used; who reads the row adds its place."""


class SetAside(Exception):  # noqa: N818 - no mistake of anyone's
    """A well-formed row that holds no comparison; the message is the reason it is counted under."""


@dataclass(frozen=True, slots=True)
class Row:
    """Named values. `number` counts lines (of text) or rows (of a binary table) from 1."""

    file: str
    number: int
    values: dict[str, Any]
    unit: str = "line"

    @property
    def place(self) -> str:
        """As users look for it: file and line."""
        return f"{self.file}, {self.unit} {self.number}"

    def bad(self, why: str) -> BadRow:
        """This row, with the reason why it cannot be used."""
        return BadRow(self.place, self.number, why, self.values)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used; `row` is what could be read of it, values or raw text."""

    place: str
    number: int
    why: str
    row: Any


def check_texts(values: Any) -> None:
    """Raise RowError where a text in `values`, at any depth, is one that databases refuse."""
    waiting = [values]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            if found := _UNSTORABLE.search(value):
                broken = "a NUL character" if found[0] == "\0" else "broken Unicode"
                raise RowError(f"{broken} stands in a text; write plain UTF-8")
        elif isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple):
            waiting += value
