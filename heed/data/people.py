"""What is known of annotators: JSON lines, a person each.

{"annotator": "Ada", "team": "north", "years": "5 or more"}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from heed.errors import UserError

NAME = "annotator"


def read_people(path: Path) -> dict[str, dict[str, str]]:
    """Of each field, its value by annotator.

    Raises UserError with the line that is none, or names somebody again.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Cannot read the annotators in {path}: {error}.") from error
    fields: dict[str, dict[str, str]] = {}
    seen: set[str] = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row = _row(f"{path}, line {number}", line)
        who = row.pop(NAME)
        if who in seen:
            raise UserError(f"{path}, line {number}: {who!r} stands there a second time.")
        seen.add(who)
        for name, value in row.items():
            fields.setdefault(name, {})[who] = value
    if not fields:
        raise UserError(f"{path} says nothing of any annotator.")
    return fields


def _row(place: str, line: str) -> dict[str, str]:
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict) or not isinstance(row.get(NAME), str):
        raise UserError(
            f'{place}: write {{"annotator": "a name", "a field": "its value"}}, a person a line.'
        )
    return {str(name): str(value) for name, value in row.items() if value is not None}
