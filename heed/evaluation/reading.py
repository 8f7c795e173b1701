"""Votes that somebody has cast already, from a file of any format that tells who met whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heed.data.alpaca_eval import Judged, read_annotations, read_table
from heed.data.preferences import read_preferences
from heed.data.rows import BadRow, Row
from heed.data.tables import read_rows
from heed.errors import UserError
from heed.evaluation.votes import Vote, votes_of, votes_of_alpaca_eval
from heed.files import read_records

PEOPLE = "people"


@dataclass(frozen=True)
class Cast:
    """Votes, the contestant that all others met if there is one, what a reader must know, and what
    judges have to say of how they answered.
    """

    votes: list[Vote]
    baseline: str | None = None
    notes: list[str] = field(default_factory=list)
    accounts: dict[str, Any] = field(default_factory=dict)
    imported: bool = True
    """Whether others held the comparison, so that nothing is known of how."""


def read_votes(file: Path) -> Cast:
    """AlpacaEval's annotations or its table of preferences, Heed's votes.jsonl, or a file of
    preferences whose items name their models (llmfao's votes, Heed's own export).

    Raises:
        UserError: there is no such file, it is of no such kind, or it holds no vote.
    """
    first = next((row for row in read_rows(file) if isinstance(row, Row)), None)
    if first is None:
        raise UserError(f"{file} holds no rows.")
    cast = next(read for fits, read in KINDS if fits(first.values))(file)
    if not cast.votes:
        raise UserError(
            f"{file} holds no vote between two contestants whose names are known. Give "
            "AlpacaEval's annotations, votes such as llmfao's, or an export of items with models. "
            f"{' '.join(cast.notes)}".rstrip()
        )
    return cast


def _of_alpaca_eval(read: Callable[[Path], tuple[list[Judged], list[BadRow]]], file: Path) -> Cast:
    judged, errors = read(file)
    votes = votes_of_alpaca_eval(judged, "AlpacaEval's judge")
    baselines = list(dict.fromkeys(vote.right for vote in votes))
    silent = sum(each.win is None for each in judged)
    notes = [f"{silent:,} preferences are null and left out."] if silent else []
    return Cast(votes, baselines[0] if len(baselines) == 1 else None, [*notes, *_unread(errors)])


def _of_preferences(file: Path) -> Cast:
    _, found = read_preferences(file)
    votes = votes_of(PEOPLE, found.items, found.annotations)
    return Cast(votes, None, _unread(found.errors))


def _of_heed(file: Path) -> Cast:
    return Cast(read_records(file, Vote))


def _unread(errors: list[BadRow]) -> list[str]:
    if not errors:
        return []
    return [f"{len(errors):,} rows cannot be used, such as {errors[0].place}: {errors[0].why}."]


def _has(*columns: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda values: all(column in values for column in columns)


KINDS: tuple[tuple[Callable[[Mapping[str, Any]], bool], Callable[[Path], Cast]], ...] = (
    (_has("preference", "generator_1"), lambda file: _of_alpaca_eval(read_annotations, file)),
    (_has("preference", "chars_model"), lambda file: _of_alpaca_eval(read_table, file)),
    (_has("judge", "left", "right", "score"), _of_heed),
    (lambda _: True, _of_preferences),
)
"""What a first row looks like, and who reads such a file."""
