"""All that a project of the store holds, as it leaves the store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from heed.data import native
from heed.data.labels import latest
from heed.errors import UserError
from heed.store import annotations as labels
from heed.store import guidelines, items, projects, replies
from heed.store.database import Store
from heed.store.projects import Project
from heed.types import Annotation, Item, Judged, Unpaired


@dataclass(frozen=True, slots=True)
class Contents:
    """A project's items and all its annotations, superseded ones too, each item's together; the
    replies of a server of which somebody has an opinion.
    """

    project: Project
    items: Mapping[str, Item]
    history: Sequence[Annotation]
    guidelines: Sequence[guidelines.Guideline] = ()
    judged: Sequence[Judged] = ()

    @property
    def latest(self) -> list[Annotation]:
        """The annotations that hold: the last revision of each."""
        return latest(self.history)

    @property
    def opinions(self) -> list[Unpaired]:
        """The opinions of replies that hold: each annotator's last."""
        return [one for each in self.judged for one in each.unpaired]


def native_rows(contents: Contents) -> Iterator[dict[str, Any]]:
    """All of it as rows of Heed's own format: each item, and each reply, with what was said."""
    said = by_item(contents.history)
    for item in contents.items.values():
        yield native.native_row(item, said.get(item.id, []))
    yield from map(native.judged_row, contents.judged)


def annotation_lines(store: Store, project: Project) -> Iterator[str]:
    """The whole project as lines of JSON, as `native_rows` has them."""
    for row in native_rows(read_contents(store, project.name)):
        yield f"{json.dumps(row, ensure_ascii=False)}\n"


def read_contents(store: Store, name: str) -> Contents:
    """What a project holds. Raises UserError where there is no such project."""
    with store.read() as session:
        project = projects.find(session, name)
        if project is None:
            known = ", ".join(repr(one.name) for one in projects.listing(session)) or "none"
            raise UserError(f"The store has no project {name!r}. It has: {known}.")
        there = {item.id: item for item in items.read_all(session, project.id)}
        history = labels.read_all(session, project.id, history=True)
        latest = guidelines.latest(session, project.id)
        versions = range(1, latest.version + 1 if latest else 1)
        texts = [guidelines.version(session, project.id, version) for version in versions]
        judged = replies.judged(session, project.id)
    place = {id: number for number, id in enumerate(there)}
    history.sort(key=lambda one: (place[one.item], one.annotator, one.occasion, one.revision))
    return Contents(project, there, history, texts, judged)


def by_item(said: Iterable[Annotation]) -> dict[str, list[Annotation]]:
    """What was said, item by item; each item's stands together."""
    return {id: list(group) for id, group in groupby(said, key=lambda one: one.item)}
