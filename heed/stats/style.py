"""The style of an answer in Markdown, as counts: what style control takes for style.

Code is not style: what stands between fences is left out of every count but the length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from heed.stats.bootstrap import Array

_CODE = re.compile(
    r"^ {0,3}(`{3,}(?=[^`\n]*$)|~{3,}).*?(?:^ {0,3}\1[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL
)
_HEADER = re.compile(r"^ {0,3}#{1,6}[ \t]+\S", re.MULTILINE)
_RULE = r"(?!(?:[-*][ \t]*){3,}$)"
_LIST_ITEM = re.compile(rf"^[ \t]*{_RULE}(?:[-*+]|\d{{1,9}}[.)])[ \t]+\S", re.MULTILINE)
_BOLD = re.compile(
    r"\*\*(?=[^\s*])(?:(?!\*\*|\n[ \t]*\n).)*?(?<=\S)\*\*"
    r"|(?<!\w)__(?=[^\s_])(?:(?!__|\n[ \t]*\n).)*?(?<=\S)__(?!\w)",
    re.DOTALL,
)


def length(text: str) -> int:
    """Characters, as AlpacaEval counts."""
    return len(text)


def list_items(text: str) -> int:
    """Lines that begin with -, *, + or a number and a dot or bracket, at any depth; no rules."""
    return len(_LIST_ITEM.findall(_prose(text)))


def headers(text: str) -> int:
    """Lines that begin with one to six # and a space (ATX headings, not underlined ones)."""
    return len(_HEADER.findall(_prose(text)))


def bold(text: str) -> int:
    """Spans between ** or __ that do not cross a blank line."""
    return sum(1 for _ in _BOLD.finditer(_prose(text)))


STYLES: dict[str, Callable[[str], int]] = {
    "length": length,
    "lists": list_items,
    "headers": headers,
    "bold": bold,
}


def style_differences(answers: Sequence[str], baseline: Sequence[str]) -> dict[str, Array]:
    r"""By how much each answer exceeds the baseline's, in each of STYLES: a contest's differences.

        >>> found = style_differences(["# Yes\n\n- **one**\n- two"], ["No."])
        >>> {name: values.tolist() for name, values in found.items()}
        {'length': [19.0], 'lists': [2.0], 'headers': [1.0], 'bold': [1.0]}

    Raises:
        ValueError: the two differ in number.
    """
    pairs = list(zip(answers, baseline, strict=True))
    return {
        name: np.array([count(one) - count(other) for one, other in pairs], dtype=np.float64)
        for name, count in STYLES.items()
    }


def _prose(text: str) -> str:
    return _CODE.sub("", text)
