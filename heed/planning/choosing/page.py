"""A draft as YAML, each chosen setting with its reason beside or above it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from textwrap import wrap
from typing import Any

import yaml

from heed.planning.choosing.draft import Draft
from heed.planning.choosing.facts import Reason
from heed.planning.choosing.rates import short

WIDTH = 100
END = "...\n"
"""How PyYAML ends a document that is a single word."""
Tree = dict[str, "Tree | Reason"]


def page(draft: Draft, remarks: Iterable[str] = ()) -> str:
    """The recipe; `remarks` stand above it, a comment each."""
    lines = [line for remark in remarks for line in _comment(remark, "")]
    lines += _settings(_tree(draft.head), "")
    lines.append("stages:")
    told: set[tuple[str, str]] = set()
    for part in draft.parts:
        name = (Reason("name", part.name),) if part.name != part.kind else ()
        settings = [*name]
        for reason in part.reasons:  # what an earlier stage's comment says stands there once
            settings.append(replace(reason, why="") if _same(reason) in told else reason)
            told.add(_same(reason))
        lines.append(f"  - {part.kind}:" if settings else f"  - {part.kind}")
        lines += _settings(_tree(settings), " " * 6)
    return "\n".join(lines) + "\n"


def _same(reason: Reason) -> tuple[str, str]:
    return reason.setting, reason.why


def _tree(reasons: Iterable[Reason]) -> Tree:
    """Settings by their keys, a level a dot."""
    tree: Tree = {}
    for reason in reasons:
        *path, last = reason.setting.split(".")
        place = tree
        for key in path:
            below = place.setdefault(key, {})
            if isinstance(below, Reason):  # a mapping as a whole, and then a key in it
                below = place[key] = {k: Reason(k, v, below.why) for k, v in below.value.items()}
            place = below
        place[last] = reason
    return tree


def _settings(tree: Mapping[str, Tree | Reason], indent: str) -> Iterator[str]:
    for key, value in tree.items():
        if not isinstance(value, Reason):
            yield f"{indent}{key}:"
            yield from _settings(value, f"{indent}  ")
            continue
        line = f"{indent}{key}: {written(value.value)}"
        beside = f"{line}  # {value.why}"
        if value.why and len(beside) > WIDTH:
            yield from _comment(value.why, indent)
        yield beside if value.why and len(beside) <= WIDTH else line


def _comment(text: str, indent: str) -> list[str]:
    return [f"{indent}# {line}" for line in wrap(text, WIDTH - 2 - len(indent))]


def written(value: Any) -> str:
    """A value in one line of YAML."""
    if isinstance(value, float) and 0 < abs(value) < 1e-3:
        return short(value)
    text = yaml.safe_dump(
        value, default_flow_style=True, width=math.inf, allow_unicode=True, sort_keys=False
    )
    text = text.removesuffix(END).strip()
    return json.dumps(value, ensure_ascii=False) if "\n" in text else text
