"""A project to label, in few words, for tests of the store and the queue."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from heed.feedback import queue
from heed.feedback.queue import Answer, Progress, Task
from heed.store import items, members, projects
from heed.store.annotations import read_all
from heed.store.database import Store
from heed.store.projects import Project, ProjectSettings
from heed.types import Annotation, Item, Prompt, Verdict

NOW = datetime(2030, 5, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def item(id: str, *, known: Verdict | None = None, priority: float = 0.0) -> Item:
    """A pair, whose answers say which item they are of."""
    answers = (f"{id} first", f"{id} second")
    return Item(id, Prompt.of(f"Question {id}?"), answers, ("small", "large"), known, priority)


def project(
    store: Store,
    ordinary: int | Sequence[Item] = 4,
    *,
    gold: int = 0,
    people: Sequence[str] = ("ann", "bob"),
    name: str = "tea",
    **settings: Any,
) -> tuple[Project, list[int]]:
    """A project and the ids of its people; gold items prefer the first answer clearly."""
    asked = ordinary
    if isinstance(ordinary, int):
        asked = [item(f"item {at}") for at in range(ordinary)]
    known = [item(f"gold {at}", known=2) for at in range(gold)]
    with store.write() as session:
        made = projects.create(session, name, ProjectSettings(**settings))
        items.add(session, made.id, [*asked, *known])
        return made, [members.enrol(session, person).id for person in people]


def draw(store: Store, made: Project, person: int, **more: Any) -> Task:
    """The next task, of which there must be one."""
    with store.write() as session:
        task = queue.next_task(session, made, person, **{"now": NOW, **more})
    assert task is not None
    return task


def say(
    store: Store, made: Project, person: int, task: Task, verdict: Any = 3, **more: Any
) -> Annotation:
    """Submit an answer to a task."""
    values = {"key": f"{person} {task.lease} {task.earlier}"[:200], "now": NOW, **more}
    with store.write() as session:
        return queue.submit(session, made, person, task.lease, Answer(verdict, 1.5), **values)


def label(store: Store, made: Project, person: int) -> Annotation | None:
    """Draw and answer one; None where nothing is left."""
    with store.write() as session:
        task = queue.next_task(session, made, person, now=NOW)
    return None if task is None else say(store, made, person, task)


def label_all(store: Store, made: Project, people: Sequence[int]) -> list[Annotation]:
    """Everyone in turn, until nothing is left for anyone."""
    said: list[Annotation] = []
    waiting = list(people)
    while waiting:
        found = [(person, label(store, made, person)) for person in waiting]
        said += [each for _, each in found if each is not None]
        waiting = [person for person, each in found if each is not None]
    return said


def done(store: Store, made: Project, person: int, now: datetime = NOW) -> Progress:
    """How far all are."""
    with store.read() as session:
        return queue.progress(session, made, person, now)


def all_said(store: Store, made: Project, *, history: bool = False) -> list[Annotation]:
    """What the store holds."""
    with store.read() as session:
        return read_all(session, made.id, history=history)
