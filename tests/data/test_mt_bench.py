from __future__ import annotations

import json
from pathlib import Path

import pytest

from heed.data.mt_bench import Dialogue, read_dialogues
from heed.errors import UserError

GOOD = {
    "question_id": 81,
    "category": "math",
    "turns": ["What is 2 plus 3?", "And times 2?"],
    "reference": ["5", "10"],
}


def write(folder: Path, *rows: object) -> Path:
    path = folder / "question.jsonl"
    path.write_text("".join(f"{r if isinstance(r, str) else json.dumps(r)}\n" for r in rows))
    return path


def test_a_file_by_hand(tmp_path: Path) -> None:
    rows = [
        GOOD,
        "",
        {"question_id": "b", "turns": ["x", "y", "z"], "reference": [None, " w "], "more": 1},
    ]
    first, second = read_dialogues(write(tmp_path, *rows))
    assert first == Dialogue("81", "math", ("What is 2 plus 3?", "And times 2?"), ("5", "10"))
    assert second == Dialogue("b", "", ("x", "y", "z"), ("", "w"))
    assert [second.reference(turn) for turn in range(3)] == ["", "w", ""]
    assert Dialogue("c", "", ("x", "y")).reference(1) == ""


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("not JSON", "line 2: not a JSON object"),
        ("[" * 100_000, "line 2: not a JSON object"),
        (["a list"], "line 2: not a JSON object"),
        ({**GOOD, "question_id": None}, "`question_id` has to be"),
        ({**GOOD, "question_id": True}, "`question_id` has to be"),
        ({**GOOD, "question_id": " "}, "`question_id` has to be"),
        ({**GOOD, "category": 3}, "`category` has to be"),
        ({**GOOD, "turns": "both"}, "`turns` has to be a list of two"),
        ({**GOOD, "turns": ["one"]}, "`turns` has to be a list of two"),
        ({**GOOD, "turns": ["one", " "]}, "`turns` has to be a list of two"),
        ({**GOOD, "turns": ["one", 2]}, "`turns` has to be a list of two"),
        ({**GOOD, "reference": "5"}, "`reference` has to be"),
        ({**GOOD, "reference": [5]}, "`reference` has to be"),
        ({**GOOD, "reference": ["5", "10", "20"]}, "3 references to 2 turns"),
        ({**GOOD, "question_id": "81"}, "the question '81' is there before"),
    ],
)
def test_a_line_that_is_no_question_is_named(tmp_path: Path, row: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_dialogues(write(tmp_path, GOOD, row))


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no questions"):
        read_dialogues(write(tmp_path, ""))
    with pytest.raises(UserError, match="Cannot read the questions"):
        read_dialogues(tmp_path)
    (tmp_path / "latin").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="Cannot read the questions"):
        read_dialogues(tmp_path / "latin")
