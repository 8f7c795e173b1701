"""Questions of several turns, in MT-Bench's form: JSON lines, one question each.

    {"question_id": 81, "category": "writing", "turns": ["Write a poem.", "Make it rhyme."],
     "reference": ["", "a right answer to the second turn"]}

`reference` may be left out, be shorter than the turns, or hold empty texts where nothing is right
by itself (Zheng et al. 2023, arXiv:2306.05685). Other keys are ignored.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heed.data.tables import written_lines
from heed.errors import UserError


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What a user says turn after turn, whatever is answered; a reference answer a turn, or ""."""

    id: str
    category: str
    turns: tuple[str, ...]
    references: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.references) > len(self.turns):
            raise ValueError(f"{len(self.turns)} turns, but {len(self.references)} references")

    def reference(self, turn: int) -> str:
        """The reference answer to a turn, counted from 0; empty where there is none."""
        return self.references[turn] if turn < len(self.references) else ""


def read_dialogues(path: Path) -> list[Dialogue]:
    """The questions of a file. Raises UserError with the line that is none, or asks one again."""
    found: dict[str, Dialogue] = {}
    for place, line in written_lines(path, "questions"):
        dialogue = _dialogue(place, line)
        if found.setdefault(dialogue.id, dialogue) is not dialogue:
            raise UserError(f"{place}: the question {dialogue.id!r} is there before.")
    if not found:
        raise UserError(f"{path} holds no questions.")
    return list(found.values())


def _dialogue(place: str, line: str) -> Dialogue:
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise UserError(f"{place}: not a JSON object.")
    id, category = row.get("question_id"), row.get("category", "")
    turns, references = row.get("turns"), row.get("reference") or []
    if isinstance(id, bool) or not isinstance(id, int | str) or not str(id).strip():
        raise UserError(f"{place}: `question_id` has to be a number or a text.")
    if not isinstance(category, str):
        raise UserError(f"{place}: `category` has to be a text.")
    if not isinstance(turns, list) or len(turns) < 2 or not all(map(_said, turns)):
        raise UserError(f"{place}: `turns` has to be a list of two texts or more, none empty.")
    if not isinstance(references, list) or not all(
        each is None or isinstance(each, str) for each in references
    ):
        raise UserError(f"{place}: `reference` has to be a list of texts.")
    if len(references) > len(turns):
        raise UserError(f"{place}: {len(references)} references to {len(turns)} turns.")
    told = tuple((each or "").strip() for each in references)
    return Dialogue(str(id), category.strip(), tuple(turns), told)


def _said(turn: Any) -> bool:
    return isinstance(turn, str) and bool(turn.strip())
