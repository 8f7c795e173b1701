"""Texts of runs in Markdown: whatever they hold, they stay text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\`*_\[\]|~$])")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_FENCE = re.compile(r"`{3,}")


def escaped(text: object) -> str:
    """A text on one line, with every character escaped that Markdown or HTML could act on."""
    line = " ".join(str(text).split())
    line = "".join(_HTML.get(letter, letter) for letter in line)
    line = _SPECIAL.sub(r"\\\1", line)
    line = re.sub(r"^([#+=-])", r"\\\1", line)
    line = re.sub(r"^(\d+)([.)])(?= |$)", r"\1\\\2", line)
    # Bare addresses would become links.
    return re.sub(r"(?i)(://|\bwww\.)", lambda found: f"{found[0][:-1]}\\{found[0][-1]}", line)


def code(text: object) -> str:
    """A text as inline code, in more backticks than it holds itself."""
    line = " ".join(str(text).split()).replace("|", "\\|")
    most = max((len(run) for run in re.findall(r"`+", line)), default=0)
    ticks = "`" * (most + 1)
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{space}{line}{space}{ticks}" if line else ""


def block(text: str, language: str = "") -> str:
    """A text as a code block, in a longer fence than it holds itself."""
    most = max((len(run) for run in _FENCE.findall(text)), default=2)
    fence = "`" * (most + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already; empty without rows."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if not lines:
        return ""
    return "\n".join([f"| {' | '.join(head)} |", "|" + "---|" * len(head), *lines])
