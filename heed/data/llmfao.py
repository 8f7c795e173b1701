"""llmfao's two files, both ways: votes in CSV, and the texts they are about in JSON lines.

A vote is id, prompt, model_x, model_y, worker, winner, left, right; a pair of texts is id, prompt,
text, result_x, result_y and more. They are joined on id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from heed.data import fields
from heed.data.entries import Entry, Found, Reading, attempt, prompt_of, said, side, signed
from heed.data.rows import BadRow, Row, RowError, SetAside
from heed.data.tables import read_rows
from heed.data.trl import single_turn
from heed.errors import UserError
from heed.types import Annotation, Item, Verdict

PUBLISHED = "pairs-crowd.jsonl"
_PAIRS = ".pairs.jsonl"
MANY_ANSWERS = "items of more than two answers"
NO_WINNER = "verdicts that llmfao has no word for"

_VERDICTS: dict[str, Verdict] = {"left": side(0), "right": side(1), "tie": "tie"}


def is_companion(file: Path) -> bool:
    """Whether a file holds the texts that votes are about, by its name."""
    return file.name == PUBLISHED or file.name.endswith(_PAIRS)


def pairs_path(votes: Path) -> Path:
    """Where Heed writes the texts that belong to a file of votes."""
    return votes.with_name(f"{votes.name.removesuffix('.csv')}{_PAIRS}")


def votes(rows: Iterator[Row], reading: Reading) -> Iterator[Found]:
    """Each vote as an annotation of the pair with its id."""
    pairs: dict[str, Row] = {}
    file = companion(reading.file, reading.companions)
    for pair in read_rows(file):
        if isinstance(pair, BadRow):
            yield pair
        else:
            pairs[fields.optional(pair.values, "id")] = pair
    for row in rows:
        yield attempt(row, lambda row=row: _vote(row, pairs, file))  # type: ignore[misc]


def companion(votes: Path, named: Sequence[Path] = ()) -> Path:
    """The file of texts that belongs to a file of votes: of those `named`, or else beside it.

    Raises UserError where there is none.
    """
    places = named or [pairs_path(votes), votes.with_name(PUBLISHED)]
    for place in places:
        if place.exists():
            return place
    raise UserError(
        f"{votes} holds votes; the texts they are about are missing: none of "
        f"{', '.join(str(place) for place in places)} exists. Name the file of texts with "
        "--companion."
    )


def _vote(row: Row, pairs: dict[str, Row], file: Path) -> Entry:
    id = fields.optional(row.values, "id")
    if id not in pairs:
        raise RowError(f"there is no pair {id!r} in {file}")
    winner = row.values.get("winner")
    if winner not in _VERDICTS:
        raise RowError(f"the winner is {winner!r}, it can be {', '.join(_VERDICTS)}")
    left, right = fields.optional(row.values, "left"), fields.optional(row.values, "right")
    sides = fields.optional(row.values, "model_x"), fields.optional(row.values, "model_y")
    # llmfao numbers its models and shows x left; where x and y are names, they tell the sides.
    order = (1, 0) if left != right and (right, left) == sides else (0, 1)
    models = (left, right) if order == (0, 1) else (right, left)
    values = pairs[id].values
    prompt = prompt_of(
        fields.prompt(values, "text"),
        id=fields.optional(values, "prompt"),
        family=fields.optional(values, "type"),
    )
    answers = (fields.text(values, "result_x"), fields.text(values, "result_y"))
    item = Item(id, prompt, answers, models if any(models) else ())
    by = signed(fields.optional(row.values, "worker"), "people")
    return Entry(row, item, (said(by, _VERDICTS[winner], order),))


def vote_row(item: Item, annotation: Annotation) -> dict[str, Any]:
    """A vote. Raises SetAside where llmfao has no word for it."""
    if len(item.answers) != 2:
        raise SetAside(MANY_ANSWERS)
    ranks = annotation.ranks
    if ranks is None:
        raise SetAside(NO_WINNER)
    models = item.models or ("", "")
    # Answers of one model cannot be told apart by name: theirs stand in the item's order.
    order = annotation.order if models[0] != models[1] else (0, 1)
    shown = [ranks[place] for place in order]
    return {
        "id": item.id,
        "prompt": item.prompt.id,
        "model_x": models[0],
        "model_y": models[1],
        "worker": annotation.annotator,
        "winner": "tie" if shown[0] == shown[1] else ("left", "right")[shown.index(1)],
        "left": models[order[0]],
        "right": models[order[1]],
    }


def pair_rows(items: Sequence[Item]) -> list[dict[str, Any]]:
    """The texts of items of two answers whose prompt is one message."""
    rows = []
    for item in items:
        models = item.models or ("", "")
        rows.append(
            {
                "id": item.id,
                "prompt": item.prompt.id,
                "text": single_turn(item.prompt),
                "type": item.prompt.family,
                "model_x": models[0],
                "result_x": item.answers[0],
                "model_y": models[1],
                "result_y": item.answers[1],
            }
        )
    return rows
