"""What stages left for a part: their JSON files, by policy as the page calls them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from heed.report.estimates import estimate, estimates, surely, tables
from heed.report.read import RunView

__all__ = ["by_policy", "estimate", "estimates", "left_by", "merged", "surely", "tables"]


def left_by(directory: Path, view: RunView, kind: str, name: str) -> Iterator[dict[str, Any]]:
    """The JSON object of that name of every finished stage of a kind that left one it can read."""
    return (found for _, found in _left(directory, view, kind, name))


def by_policy(
    directory: Path, view: RunView, name: str, keys: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """What evaluations left under a name, its policies called as the page calls them, so that two
    evaluations of one policy stand side by side. `keys` are the entries that are tables by policy;
    the whole file is one where there are none.
    """
    found = []
    for stage, left in _left(directory, view, "evaluate", name):
        inner = {key: _called(view, stage, left[key]) for key in keys if key in left}
        found.append({**left, **inner} if keys else _called(view, stage, left))
    return found


def merged(found: list[dict[str, Any]], key: str) -> dict[str, Any]:
    """What several files say under one key, by policy."""
    said = [value for each in found if isinstance(value := each.get(key), Mapping)]
    return {name: value for each in said for name, value in each.items()}


def _called(view: RunView, stage: str, table: Any) -> Any:
    if not isinstance(table, Mapping):
        return table
    return {view.called(stage, label): value for label, value in table.items()}


def _left(
    directory: Path, view: RunView, kind: str, name: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(stage, JSON object) of the stages that left one; what cannot be read is noted once."""
    for stage in view.stages:
        path = directory / stage.name / name
        if stage.kind == kind and stage.done and path.exists():
            try:
                found = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                view.notes.append(f"{stage.name}/{name} cannot be read and is not shown.")
                continue
            if isinstance(found, dict):
                yield stage.name, found
