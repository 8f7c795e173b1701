"""AlpacaEval's files: a model's answers, what a judge said of them beside a baseline's, a table.

`model_outputs.json` holds {instruction, output, generator}; `annotations.json` holds {instruction,
output_1, generator_1, output_2, generator_2, annotator, preference}. A preference runs from 1, the
first answer (the baseline's) is better, to 2, the second is (the model's); it is null where the
judge's reply could not be read, and in old files 0 for a tie.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from heed.data import fields
from heed.data.rows import BadRow, Row, RowError
from heed.data.tables import read_rows
from heed.errors import UserError
from heed.stats.contests import Contest
from heed.stats.style import style_differences

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Output:
    """What a model answered."""

    instruction: str
    answer: str
    model: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A model's answer beside the baseline's.

    `win` is the preference minus 1, None where the judge said nothing that could be read; `answers`
    are the baseline's and the model's, where the file holds them, `characters` their lengths.
    """

    item: str
    baseline: str
    model: str
    win: float | None
    characters: tuple[int, int]
    answers: tuple[str, str] | None = None
    annotator: str = ""


def read_outputs(file: Path) -> tuple[list[Output], list[BadRow]]:
    """A `model_outputs.json`, and the entries that cannot be used.

    Raises:
        UserError: the file is missing or broken as a whole.
    """
    return _read(file, _output)


def read_annotations(file: Path) -> tuple[list[Judged], list[BadRow]]:
    """An `annotations.json`, and the entries that cannot be used.

    Raises:
        UserError: the file is missing or broken as a whole.
    """
    return _read(file, _annotation)


def read_table(file: Path) -> tuple[list[Judged], list[BadRow]]:
    """A table of model, item, preference, chars_baseline, chars_model, and the rows of no use.

    Raises:
        UserError: the file is missing or broken as a whole.
    """
    return _read(file, _table_row)


def contests(judged: Sequence[Judged], *, styles: bool = False) -> dict[str, Contest]:
    """Each model's contest with the baseline, for `stats/controlled.py`; null preferences left out.

        >>> judged, errors = read_annotations(Path("annotations.json"))  # doctest: +SKIP
        >>> controlled_win_rates(contests(judged))["my-model"].rate  # doctest: +SKIP

    Args:
        judged: what was said, by one judge, against one baseline.
        styles: differ in list items, headers and bold beside the length in characters.

    Raises:
        UserError: there are several judges or baselines, or no texts to find a style in.
    """
    for what, names in (
        ("judges", {each.annotator for each in judged}),
        ("baselines", {each.baseline for each in judged}),
    ):
        if len(names) > 1:
            raise UserError(
                f"these annotations are of several {what}: {', '.join(sorted(names))}. Win rates "
                "are by one judge against one baseline: keep the entries of one."
            )
    by_model: dict[str, list[Judged]] = {}
    for each in judged:
        rows = by_model.setdefault(each.model, [])
        if each.win is not None:
            rows.append(each)
    return {model: _contest(model, rows, styles) for model, rows in by_model.items()}


def _contest(model: str, rows: Sequence[Judged], styles: bool) -> Contest:
    items: list[Hashable] = [each.item for each in rows]
    wins = np.array([each.win for each in rows], dtype=np.float64)
    if not styles:
        pairs = [each.characters for each in rows]
        longer = np.array([own - other for other, own in pairs], dtype=np.float64)
        return Contest(items, wins, {"length": longer})
    texts = [each.answers for each in rows if each.answers is not None]
    if len(texts) < len(rows):
        raise UserError(
            f"the answers of {model} are not all at hand, so that their style is unknown. "
            "Give annotations that hold output_1 and output_2, or control for length only."
        )
    styled = style_differences([own for _, own in texts], [other for other, _ in texts])
    return Contest(items, wins, styled)


def _read(file: Path, read: Callable[[Row], T]) -> tuple[list[T], list[BadRow]]:
    """What the rows say; the same entry twice is an error."""
    found: dict[T, Row] = {}
    errors = []
    for row in read_rows(file):
        if isinstance(row, BadRow):
            errors.append(row)
            continue
        try:
            entry = read(row)
        except RowError as error:
            errors.append(row.bad(str(error)))
            continue
        if entry in found:
            errors.append(row.bad(f"the same stands in {found[entry].unit} {found[entry].number}"))
        else:
            found[entry] = row
    return list(found), errors


def _output(row: Row) -> Output:
    values = row.values
    return Output(
        _named(row, "instruction"), fields.text(values, "output"), _named(row, "generator")
    )


def _annotation(row: Row) -> Judged:
    answers = (fields.text(row.values, "output_1"), fields.text(row.values, "output_2"))
    return Judged(
        item=_named(row, "instruction"),
        baseline=_named(row, "generator_1"),
        model=_named(row, "generator_2"),
        win=_win(row),
        characters=(len(answers[0]), len(answers[1])),
        answers=answers,
        annotator=fields.optional(row.values, "annotator"),
    )


def _table_row(row: Row) -> Judged:
    characters = (_count(row, "chars_baseline"), _count(row, "chars_model"))
    return Judged(_named(row, "item"), "", _named(row, "model"), _win(row), characters)


def _named(row: Row, column: str) -> str:
    found = fields.optional(row.values, column)
    if not found.strip():
        raise RowError(f"the column {column!r} has no text")
    return found


def _win(row: Row) -> float | None:
    if "preference" not in row.values:
        raise RowError("the column 'preference' is missing")
    preference = fields.number(row.values, "preference")
    if preference == 0:  # a tie, in files of AlpacaEval 1
        return 0.5
    if preference is not None and not 1 <= preference <= 2:
        raise RowError(f"the preference is {preference:g}; it runs from 1 (first) to 2 (second)")
    return None if preference is None else preference - 1


def _count(row: Row, column: str) -> int:
    found = fields.whole(row.values, column)
    if found is None or found < 0:
        raise RowError(f"the column {column!r} has no number of characters ({found})")
    return found
