"""What stands in a page of the documentation: blocks of code with their marks, and inline code.

A block of commands that a test cannot run has a mark before it, with the reason:
`<!-- not run: waits for people -->`. A block with a title (```yaml title="mine.yaml") is written
into that file before the commands after it run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
SHELL = ("sh", "bash", "shell", "console")
MARK = re.compile(r"<!--\s*not run:\s*(?P<reason>.+?)\s*-->", re.DOTALL)
TITLE = re.compile(r"""title=["']?(?P<title>[^"'\s]+)""")
READER = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class Block:
    """`language` is "" where a block says none, `line` that of the page."""

    page: str
    line: int
    language: str
    text: str
    title: str = ""
    not_run: str = ""

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Every page that people read, in the order in which they would."""
    first = [ROOT / "README.md", ROOT / "docs" / "index.md", ROOT / "docs" / "tutorial.md"]
    others = sorted(path for path in (ROOT / "docs").rglob("*.md") if path not in first)
    return [*first, *others, ROOT / "CONTRIBUTING.md"]


def blocks(page: Path) -> list[Block]:
    """The blocks of a page."""
    return blocks_of(page.read_text(encoding="utf-8"), str(page.relative_to(ROOT)))


def blocks_of(text: str, name: str) -> list[Block]:
    """The blocks of a page's text."""
    return list(_blocks(READER.parse(text), name))


def _blocks(tokens: list[Token], name: str) -> Iterator[Block]:
    reason = ""
    for token in tokens:
        if token.type == "html_block":
            mark = MARK.search(token.content)
            reason = " ".join(mark["reason"].split()) if mark else reason
        elif token.type in {"fence", "code_block"}:
            language, _, more = token.info.strip().partition(" ")
            title = TITLE.search(more)
            line = token.map[0] + 1 if token.map else 0
            yield Block(
                name, line, language, token.content, title["title"] if title else "", reason
            )
            reason = ""
        elif token.type not in {"list_item_close", "paragraph_close"}:
            reason = ""


def inline(page: Path) -> list[tuple[str, int]]:
    """The pieces of inline code of a page, each with its line."""
    found = []
    for token in READER.parse(page.read_text(encoding="utf-8")):
        for child in token.children or ():
            if child.type == "code_inline":
                found.append((child.content, (token.map or [0])[0] + 1))
    return found
