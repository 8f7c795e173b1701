"""The examples of docs/data.md are what they say they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from heed.data.formats import FORMATS
from heed.data.survey import survey

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
BLOCK = re.compile(r"^    (?P<name>[a-z]+)(?:, [a-z]+)?\n(?P<lines>(?:      \{.*\n)+)", re.M)
EXAMPLES = [(found["name"], found["lines"]) for found in BLOCK.finditer(PAGE.read_text())]


def test_every_format_is_documented() -> None:
    named = set(re.findall(r"^\| `([a-z]+)` \|", PAGE.read_text(), re.M))
    assert named == set(FORMATS)
    assert {name for name, _ in EXAMPLES} == set(FORMATS) - {"llmfao"}  # which is CSV
    assert len(EXAMPLES) == len(FORMATS)  # trl's are plain and conversational


@pytest.mark.parametrize(("name", "lines"), EXAMPLES)
def test_examples_are_read(tmp_path: Path, name: str, lines: str) -> None:
    file = tmp_path / "example.jsonl"
    file.write_text(lines)
    found = survey([str(file)])
    assert found.formats == {str(file): name}
    assert (found.rows, found.broken) == (2, ())
    held = len(found.comparisons) + len(found.unpaired) + len(found.demonstrations) + found.ties
    assert held + found.duplicates + sum(found.set_aside.values()) >= 2
