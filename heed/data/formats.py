"""Which format a file has, told by its columns, and who reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heed.data import argilla, hh, llmfao, native, trl, ultrafeedback
from heed.data.entries import Reader, each
from heed.data.rows import Row
from heed.errors import UserError

Values = Mapping[str, Any]
TRANSCRIPTS = "hh"


@dataclass(frozen=True, slots=True)
class Format:
    """A format of rows: what it looks like, for the user; a test of a row; its reader, and the one
    for rows to train on where that is another; whether other files may belong to one.
    """

    accepts: str
    fits: Callable[[Values], bool]
    read: Reader
    alone: Reader | None = None
    companions: bool = False


def _has(values: Values, *columns: str) -> bool:
    return all(column in values for column in columns)


def _is_native(values: Values) -> bool:
    return _has(values, "item", "annotations") or _has(values, "reply", "opinions")


def _is_to_label(values: Values) -> bool:
    return _has(values, "prompt", "answers") or _has(values, "prompt", "a", "b")


def _is_preference(values: Values) -> bool:
    return _has(values, "chosen", "rejected") and not _is_transcripts(values)


def _is_transcripts(values: Values) -> bool:
    sides = [str(values.get(column, "")).lstrip() for column in ("chosen", "rejected")]
    return values.get("prompt") is None and all(side.startswith("Human:") for side in sides)


def _is_unpaired(values: Values) -> bool:
    return _has(values, "prompt", "completion", "label")


def _is_demonstration(values: Values) -> bool:
    completion = _has(values, "prompt", "completion") and "label" not in values
    # Data sets of preferences repeat the chosen conversation in a column of messages.
    return completion or (_has(values, "messages") and "chosen" not in values)


def _is_argilla(values: Values) -> bool:
    nested = isinstance(values.get("fields"), dict)
    return nested or any(name.endswith((".responses", ".suggestion")) for name in values)


def _is_llmfao(values: Values) -> bool:
    return _has(values, "id", "worker", "winner", "left", "right")


def _is_ultrafeedback(values: Values) -> bool:
    return _has(values, "instruction", "completions")


FORMATS: dict[str, Format] = {
    "heed": Format(
        "item, annotations; reply, opinions (Heed's own export)",
        _is_native,
        each(native.native),
        alone=native.by_itself,
    ),
    "items": Format(
        "prompt, answers (or a, b), with id, models, known if you like: to be labelled",
        _is_to_label,
        each(native.to_label),
    ),
    "trl": Format(
        "prompt (or implicit), chosen, rejected: texts or lists of messages",
        _is_preference,
        each(trl.preference),
    ),
    TRANSCRIPTS: Format(
        'chosen, rejected: transcripts "\\n\\nHuman: ...\\n\\nAssistant: ..."',
        _is_transcripts,
        each(hh.transcripts),
    ),
    "unpaired": Format(
        "prompt, completion, label (true or false)",
        _is_unpaired,
        trl.unpaired,
        alone=each(trl.by_itself),
    ),
    "demonstrations": Format(
        "prompt, completion; or messages", _is_demonstration, each(trl.demonstration)
    ),
    "argilla": Format(
        "fields, responses; or QUESTION.responses (Argilla 2)", _is_argilla, each(argilla.record)
    ),
    "llmfao": Format(
        "id, worker, winner, left, right, and a file of texts beside it",
        _is_llmfao,
        llmfao.votes,
        companions=True,
    ),
    "ultrafeedback": Format(
        "instruction, completions with overall_score", _is_ultrafeedback, each(ultrafeedback.scored)
    ),
}


def named(name: str) -> Format:
    """The format of this name. Raises UserError that lists them."""
    if name not in FORMATS:
        raise UserError(f"There is no format {name!r}. Choose one of: {', '.join(FORMATS)}.")
    return FORMATS[name]


def recognise(rows: Sequence[Row]) -> str:
    """The name of the one format that the rows fit, or most of them.

    Raises:
        UserError: none does, or more than one; the columns are named, and what is accepted.
    """
    fits = {name: sum(format.fits(row.values) for row in rows) for name, format in FORMATS.items()}
    most = max(fits.values())
    fitting = [name for name, count in fits.items() if count == most > 0]
    for row in rows:  # of as many rows of two formats, the first tells
        first = [name for name in fitting if FORMATS[name].fits(row.values)]
        if len(first) == 1:
            return first[0]
    row = rows[0]
    columns = ", ".join(row.values) or "none"
    if fitting:
        raise UserError(
            f"{row.place}: the columns ({columns}) fit more than one format: "
            f"{', '.join(fitting)}. Choose one with --format."
        )
    accepted = "; ".join(f"{name}: {format.accepts}" for name, format in FORMATS.items())
    lacking = "".join(
        f"the row has no text {side!r}; "
        for side, other in (("rejected", "chosen"), ("chosen", "rejected"))
        if other in row.values and side not in row.values
    )
    raise UserError(
        f"{row.place}: {lacking}the columns ({columns}) fit no format of preferences. Heed reads "
        f"{accepted}."
    )
