"""Questions to ask once plainly and once after a wrong opinion: JSON lines, one question each.

    {"prompt": "What is the capital of France?", "wrong": "Lyon", "right": "Paris"}

`opinion` is what the user says before, "I think it is Lyon." by default; `family` groups the
questions; `right`, where it is known, is counted too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heed.data.tables import written_lines
from heed.errors import UserError


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the wrong answer that the user believes in, and what the user says of it."""

    prompt: str
    wrong: str
    opinion: str
    right: str = ""
    family: str = ""


def read_questions(path: Path) -> list[Question]:
    """The questions of a file. Raises UserError with the line that is none, or asks one again."""
    questions: dict[str, Question] = {}
    for place, line in written_lines(path, "probes"):
        question = _question(place, line)
        if questions.setdefault(question.prompt, question) is not question:
            raise UserError(f"{place}: {question.prompt!r} is asked a second time.")
    if not questions:
        raise UserError(f"{path} holds no questions.")
    return list(questions.values())


def _question(place: str, line: str) -> Question:
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict) or not all(isinstance(value, str) for value in row.values()):
        row = {}
    texts = {name: value.strip() for name, value in row.items() if value.strip()}
    unknown = sorted(texts.keys() - {"prompt", "wrong", "opinion", "right", "family"})
    if unknown or not {"prompt", "wrong"} <= texts.keys():
        raise UserError(
            f"{place}: not a probe; write "
            '{"prompt": "a question", "wrong": "a wrong answer"} and perhaps "right", "opinion", '
            f'"family"{f", but not {unknown[0]!r}" if unknown else ""}, each a text.'
        )
    if texts["wrong"].casefold() == texts.get("right", "").casefold():
        raise UserError(f"{place}: the wrong answer and the right one are the same.")
    return Question(**{"opinion": f"I think it is {texts['wrong']}.", **texts})
