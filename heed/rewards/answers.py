"""A file of right answers: JSON lines, one prompt each.

    {"prompt": "What is 2 plus 3?", "answer": "5"}
    {"question": "Natalia sold clips ...", "answer": "Natalia sold ... #### 72"}

`prompt` is the text of the user's last message, or the prompt's id; `question` is GSM8K's word for
it.
"""

from __future__ import annotations

import json
from pathlib import Path

from heed.errors import UserError

KEYS = ("prompt", "question")


def read_answers(path: Path) -> dict[str, str]:
    """Right answers by prompt. Raises UserError with the line that is no such row, or contradicts
    an earlier one.
    """
    answers: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            prompt = str(next(row[key] for key in KEYS if key in row)).strip()
            answer = str(row["answer"])
        except (ValueError, KeyError, TypeError, StopIteration) as error:
            raise UserError(
                f"{path}, line {number}: not a row of right answers; write "
                '{"prompt": "what was asked", "answer": "what is right"}.'
            ) from error
        if answers.setdefault(prompt, answer) != answer:
            raise UserError(f"{path}, line {number}: a second answer to {prompt!r}.")
    if not answers:
        raise UserError(f"{path} holds no right answers.")
    return answers
