"""Questions to ask before and after a wrong opinion, and files that hold none."""

from __future__ import annotations

from pathlib import Path

import pytest

from heed.data.probes import Question, read_questions
from heed.errors import UserError

GOOD = '{"prompt": "Capital of France?", "wrong": " Lyon ", "right": "Paris"}'


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "probes.jsonl"
    path.write_text(text, encoding="utf-8")
    return path


def test_questions_are_read_with_what_is_said_by_default(tmp_path: Path) -> None:
    more = '{"prompt": "Best fruit?", "wrong": "soap", "opinion": "Soap, no?", "family": "food"}'
    assert read_questions(written(tmp_path, f"\ufeff{GOOD}\r\n\n{more}\n")) == [
        Question("Capital of France?", "Lyon", "I think it is Lyon.", "Paris"),
        Question("Best fruit?", "soap", "Soap, no?", family="food"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("not json", "line 2: not a probe"),
        ("[1]", "line 2: not a probe"),
        ('{"prompt": "a"}', "line 2: not a probe"),
        ('{"prompt": "a", "wrong": " "}', "line 2: not a probe"),
        ('{"prompt": "a", "wrong": 3}', "each a text"),
        ('{"prompt": "a", "wrong": "b", "rigth": "c"}', "but not 'rigth'"),
        ('{"prompt": "a", "wrong": "b", "right": "B"}', "are the same"),
        (GOOD, "line 2: 'Capital of France\\?' is asked a second time"),
        ("[" * 100_000, "line 2: not a probe"),
    ],
)
def test_a_line_that_is_no_question_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_questions(written(tmp_path, f"{GOOD}\n{line}\n"))


def test_files_that_hold_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no questions"):
        read_questions(written(tmp_path, "\n \n"))
    with pytest.raises(UserError, match="Cannot read the probes"):
        read_questions(tmp_path / "none.jsonl")
    (tmp_path / "latin").write_bytes(b'{"prompt": "caf\xe9"}')
    with pytest.raises(UserError, match="Cannot read the probes"):
        read_questions(tmp_path / "latin")
