"""A user's documents: JSON lines with a `text` each, or plain text, a document a paragraph."""

from __future__ import annotations

import json
import re
from pathlib import Path

from heed.errors import UserError
from heed.types import Document


def read_documents(path: Path) -> list[Document]:
    """The documents of a file, each with its `id` or else its number, counted from 1.

    Raises UserError, with the line, for one that holds no text.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Cannot read the documents in {path}: {error}.") from error
    if path.suffix != ".jsonl":
        parts = re.split(r"\n\s*\n", content)
        paragraphs = [" ".join(part.split()) for part in parts if part.strip()]
        return [Document(str(number), text) for number, text in enumerate(paragraphs, start=1)]
    lines = enumerate(content.split("\n"), start=1)
    return [_document(path, number, line) for number, line in lines if line.strip()]


def _document(path: Path, number: int, line: str) -> Document:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}, line {number}: no JSON: {error}.") from error
    text = row.get("text") if isinstance(row, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise UserError(
            f'{path}, line {number}: a document is a line such as {{"text": "Some words."}}.'
        )
    if re.search("[\ud800-\udfff]", text):
        raise UserError(
            f"{path}, line {number}: broken Unicode stands in the text; write plain UTF-8."
        )
    return Document(str(row.get("id", number)), text)
