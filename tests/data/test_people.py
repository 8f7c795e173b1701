"""What is known of annotators is read by field; a line that says nobody is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from heed.data.people import read_people
from heed.errors import UserError


def test_fields_by_annotator(tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    path.write_text('{"annotator": "Ada", "team": "north"}\n\n{"annotator": "Bo", "team": null}\n')
    assert read_people(path) == {"team": {"Ada": "north"}}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[1]\n", "line 1"),
        ('{"annotator": "A", "t": 1}\n{"annotator": "A"}\n', "line 2: 'A' stands"),
        ('{"annotator": "A"}\n', "says nothing"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "people.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=says):
        read_people(path)
