"""The values of a row as texts, numbers and messages; each refusal names the column."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, cast, get_args

from heed.data.rows import RowError
from heed.types import Message, Role, Split, Undecided, Verdict

Values = Mapping[str, Any]
_HELD_OUT = re.compile(r"(heldout|held_out|test|validation|valid|val|dev|eval)(_.*)?", re.I)
"""What a column `split`, or a part of a data set, calls prompts that are not trained on: test,
test_prefs.
"""


def text(values: Values, column: str) -> str:
    """The column's text, which may be empty."""
    value = values.get(column)
    if not isinstance(value, str):
        raise RowError(f"the column {column!r} has no text ({_seen(value)})")
    return value


def optional(values: Values, column: str, default: str = "") -> str:
    """Text, or a whole number as text; `default` where the column is missing or blank."""
    value = values.get(column)
    if value is None or value == "":
        return default
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return text(values, column)


def number(values: Values, column: str) -> float | None:
    """A finite number, also one that stands as text (CSV); None where it is missing or blank."""
    value = values.get(column)
    if value is None or value == "":
        return None
    try:
        found = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise RowError(f"the column {column!r} has no number ({_seen(value)})")
    return found


def weight(values: Values) -> float:
    """What a row counts for beside others, 1 where it does not say."""
    found = number(values, "weight")
    if found is not None and found < 0:
        raise RowError(f"the column 'weight' is {found:g}; a row counts for 0 or more")
    return 1.0 if found is None else found


def whole(values: Values, column: str) -> int | None:
    """A whole number, or None where it is missing or blank."""
    found = number(values, column)
    if found is not None and found != int(found):
        raise RowError(f"the column {column!r} has no whole number ({found})")
    return None if found is None else int(found)


def texts(values: Values, column: str) -> tuple[str, ...]:
    """A list of texts."""
    value = values.get(column)
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise RowError(f"the column {column!r} has no list of texts ({_seen(value)})")
    return tuple(value)


def split(values: Values) -> Split:
    """The side of the split that the row names: held out, or else (also unnamed) training."""
    return "heldout" if is_held_out(values.get("split")) else "train"


def is_held_out(name: object) -> bool:
    """Whether a split, a part or a file of this name is not to be trained on."""
    return isinstance(name, str) and _HELD_OUT.fullmatch(name) is not None


def messages(value: Any, column: str) -> tuple[Message, ...]:
    """A list of {"role", "content"} as messages."""
    if not isinstance(value, list) or not value:
        raise RowError(f"the column {column!r} has no messages ({_seen(value)})")
    turns = []
    for turn in value:
        role = turn.get("role") if isinstance(turn, dict) else None
        content = turn.get("content") if isinstance(turn, dict) else None
        if role not in get_args(Role) or not isinstance(content, str):
            raise RowError(
                f"the column {column!r} has no messages of role {' | '.join(get_args(Role))} and "
                f"text content ({_seen(turn)})"
            )
        turns.append(Message(cast(Role, role), content))
    return tuple(turns)


def prompt(values: Values, column: str = "prompt") -> tuple[Message, ...]:
    """A prompt: text is what a user says, a list is a conversation."""
    value = values.get(column)
    if isinstance(value, str):
        if not value.strip():
            raise RowError(f"the column {column!r} is empty")
        return (Message("user", value),)
    return messages(value, column)


def verdict(values: Values, column: str) -> Verdict | None:
    """A grade, a word such as tie, or a ranking; also as text (CSV)."""
    value = values.get(column)
    if value is None or value == "":
        return None
    if isinstance(value, str) and value not in get_args(Undecided):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    if isinstance(value, list) and all(type(rank) is int for rank in value):
        return tuple(value)
    if type(value) is int or value in get_args(Undecided):
        return value
    raise RowError(
        f"the column {column!r} has no verdict ({_seen(values[column])}): a grade 1..8, "
        f"{', '.join(get_args(Undecided))}, or a list of ranks"
    )


def _seen(value: Any) -> str:
    """A value in an error message, shortened."""
    shown = repr(value)
    return "missing" if value is None else shown if len(shown) <= 60 else shown[:57] + "..."
