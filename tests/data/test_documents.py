"""Documents that a user looks things up in."""

from __future__ import annotations

from pathlib import Path

import pytest

from heed.data.documents import read_documents
from heed.errors import UserError
from heed.types import Document


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text('{"text": "One."}\n\n{"id": "b", "text": "Two.", "more": 1}\n')
    assert read_documents(path) == [Document("1", "One."), Document("b", "Two.")]


def test_a_paragraph_of_plain_text_is_a_document(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("One line\nand another.\n\n\nTwo.\n")
    expected = [Document("1", "One line and another."), Document("2", "Two.")]
    assert read_documents(path) == expected
    path.write_bytes(b"\xef\xbb\xbfOne line\r\nand another.\r\n \t\r\nTwo.")  # as on Windows
    assert read_documents(path) == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: no JSON"),
        ('"Two."', 'line 2: a document is a line such as {"text"'),
        ('{"text": " "}', "line 2: a document is"),
        ('{"text": 2}', "line 2: a document is"),
        (r'{"text": "Two \ud800."}', "line 2: broken Unicode stands in the text"),
    ],
)
def test_what_is_no_document_is_told_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text(f'{{"text": "One."}}\n{line}\n')
    with pytest.raises(UserError, match=message):
        read_documents(path)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "image.txt").write_bytes(b"\xff\xfe\x00")
    for name in ("image.txt", "nowhere.txt"):
        with pytest.raises(UserError, match="Cannot read the documents"):
            read_documents(tmp_path / name)
