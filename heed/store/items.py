"""Items: a prompt, two or more answers to it, and how many labels it wants."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Row, Select, bindparam, distinct, func, insert, select, update
from sqlalchemy.orm import Session

from heed.store import projects, standings
from heed.store.limits import ANSWER, ANSWERS, CHUNK, ITEM_ID, LABEL, MESSAGE, checked
from heed.store.schema import AnswerRow, ItemRow, SlotRow, table
from heed.types import Item, Message, Prompt, Verdict

ITEM, ANSWER_ROW = table(ItemRow).c, table(AnswerRow).c
ITEMS = (
    select(
        ITEM.id, ITEM.name, ITEM.prompt, ITEM.messages, ITEM.family, ITEM.split, ITEM.known,
        ITEM.priority, ANSWER_ROW.body, ANSWER_ROW.model,
    )
    .join(table(AnswerRow), ANSWER_ROW.item_id == ITEM.id)
    .order_by(ITEM.id, ANSWER_ROW.place)
)  # fmt: skip
"""An item's row as often as it has answers."""
ALL = ITEMS.where(ITEM.project_id == bindparam("project"))
ONE = ALL.where(ITEM.name == bindparam("name"))
OF_ROW = ITEMS.where(ITEM.id == bindparam("item"))


@dataclass(frozen=True, slots=True)
class Added:
    """How many rows are new, and how many were there already, the same."""

    added: int
    known: int


def chance(*parts: object) -> float:
    """A number in [0, 1) that these values, and nothing else, decide."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / 2**53


def add(session: Session, project_id: int, items: Sequence[Item]) -> Added:
    """Put items into a project; each ordinary one wants `per_item` labels from now on.

    Raises:
        ValueError: an item has the id but not the content of one that is there (or of another in
            `items`), or holds text that no database takes. Nothing is added then.
    """
    projects.lock(session, project_id)
    settings = projects.get(session, project_id).settings
    digests: dict[str, str] = {}
    fresh: list[Item] = []
    for item in items:
        digest = _digest(_checked(item))
        if item.id not in digests:
            fresh.append(item)
        if digests.setdefault(item.id, digest) != digest:
            raise ValueError(f"two different items have the id {item.id!r}")
    there = dict(_digests(session, project_id, list(digests)))
    for name, digest in there.items():
        if digests[name] != digest:
            raise ValueError(f"an item {name!r} is there already, with another content")
    fresh = [item for item in fresh if item.id not in there]
    for start in range(0, len(fresh), CHUNK):
        chosen = fresh[start : start + CHUNK]
        _insert(session, project_id, settings, chosen, digests)
    if fresh:
        ordinary = sum(item.known is None for item in fresh)
        projects.count_more(session, project_id, ordinary, ordinary * settings.per_item)
        # Last, since whoever labels waits from here on.
        standings.walk_anew(session, project_id, behind=max(item.priority for item in fresh))
    return Added(len(fresh), len(items) - len(fresh))


def read_all(session: Session, project_id: int) -> list[Item]:
    """Every item, in the order they were added."""
    return list(_read(session, ALL, project=project_id))


def read_one(session: Session, project_id: int, id: str) -> Item:
    """The item of this id.

    Raises:
        ValueError: there is none.
    """
    checked(id, "an item's id", ITEM_ID)
    found = next(_read(session, ONE, project=project_id, name=id), None)
    if found is None:
        raise ValueError(f"the project has no item {id!r}")
    return found


def of_row(session: Session, item_id: int) -> Item:
    """The item a slot belongs to."""
    return next(_read(session, OF_ROW, item=item_id))


@dataclass(frozen=True, slots=True)
class Counts:
    """How many items of a project are ordinary ones, how many gold, and how many different
    priorities the ordinary ones have.
    """

    ordinary: int
    gold: int
    priorities: int


def count(session: Session, project_id: int) -> Counts:
    """What a project holds, counted by the database."""
    gold = func.count(ItemRow.known)
    priorities = func.count(distinct(ItemRow.priority)).filter(ItemRow.known.is_(None))
    statement = select(func.count() - gold, gold, priorities).where(
        ItemRow.project_id == project_id
    )
    return Counts(*session.execute(statement).one())


def set_priorities(session: Session, project_id: int, priorities: Mapping[str, float]) -> None:
    """Say which items the queue should ask first (higher is earlier).

    Raises:
        ValueError: there is no such item, or a priority is no number.
    """
    projects.lock(session, project_id)
    rows = dict(_rows(session, project_id, list(priorities)))
    for name, priority in priorities.items():
        if name not in rows:
            raise ValueError(f"the project has no item {name!r}")
        _finite(priority, name)
    values = [{"row": rows[name], "new": float(value)} for name, value in priorities.items()]
    if not values:
        return
    # Standings before slots, as whoever labels locks them: else both could wait for each other.
    standings.walk_anew(session, project_id)
    connection = session.connection()
    for rows_of, key in ((ItemRow, ItemRow.id), (SlotRow, SlotRow.item_id)):
        statement = update(table(rows_of)).where(key == bindparam("row"))
        connection.execute(statement.values(priority=bindparam("new")), values)


def _insert(
    session: Session,
    project_id: int,
    settings: projects.ProjectSettings,
    items: Sequence[Item],
    digests: Mapping[str, str],
) -> None:
    rows = [_row(project_id, settings.seed, item, digests[item.id]) for item in items]
    session.execute(insert(ItemRow), rows)
    ids = dict(_rows(session, project_id, [item.id for item in items]))
    session.execute(
        insert(AnswerRow),
        [
            {
                "item_id": ids[item.id], "place": place, "body": body,
                "model": item.models[place] if item.models else None,
            }
            for item in items
            for place, body in enumerate(item.answers)
        ],
    )  # fmt: skip
    slots = [
        {
            "project_id": project_id, "item_id": ids[row["name"]], "kind": "wanted",
            "place": place, "occasion": 0, "rank": row["rank"], "priority": row["priority"],
        }
        for row in rows
        if row["known"] is None
        for place in range(settings.per_item)
    ]  # fmt: skip
    if slots:
        session.execute(insert(SlotRow), slots)


def _row(project_id: int, seed: int, item: Item, digest: str) -> dict[str, Any]:
    return {
        "project_id": project_id,
        "name": item.id,
        "prompt": item.prompt.id,
        "messages": _messages(item.prompt),
        "family": item.prompt.family,
        "split": item.prompt.split,
        "size": len(item.answers),
        "known": _plain(item.known),
        "priority": float(item.priority),
        "rank": chance(seed, "rank", item.id),
        "digest": digest,
    }


def _messages(prompt: Prompt) -> list[list[str]]:
    return [[message.role, message.content] for message in prompt.messages]


def _plain(verdict: Verdict | None) -> int | str | list[int] | None:
    return list(verdict) if isinstance(verdict, tuple) else verdict


def _digest(item: Item) -> str:
    """Of all that must not change under an item's id; its priority may."""
    prompt = item.prompt
    content = [
        prompt.id, _messages(prompt), prompt.family, prompt.split, item.answers, item.models,
        _plain(item.known),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _checked(item: Item) -> Item:
    checked(item.id, "an item's id", ITEM_ID, empty=False)
    where = f"of item {item.id!r}"
    checked(item.prompt.id, f"the prompt's id {where}", MESSAGE)
    checked(item.prompt.family, f"the family {where}", LABEL)
    if item.prompt.split not in ("train", "heldout"):
        raise ValueError(f"the split {where} is 'train' or 'heldout', got {item.prompt.split!r}")
    for message in item.prompt.messages:
        checked(message.content, f"a message {where}", MESSAGE)
        checked(message.role, f"a role {where}", LABEL, empty=False)
    if len(item.answers) > ANSWERS:
        raise ValueError(f"at most {ANSWERS} answers can be compared, {len(item.answers)} {where}")
    for answer in item.answers:
        checked(answer, f"an answer {where}", ANSWER)
    for model in item.models:
        checked(model, f"a model's name {where}", LABEL)
    _finite(item.priority, item.id)
    return item


def _finite(priority: float, name: str) -> None:
    if not math.isfinite(priority):
        raise ValueError(f"the priority of item {name!r} is no number: {priority}")


def _rows(session: Session, project_id: int, names: list[str]) -> Iterator[tuple[str, int]]:
    for row in _by_name(session, project_id, names):
        yield row.name, row.id


def _digests(session: Session, project_id: int, names: list[str]) -> Iterator[tuple[str, str]]:
    for row in _by_name(session, project_id, names):
        yield row.name, row.digest


def _by_name(session: Session, project_id: int, names: list[str]) -> Iterator[Row[str, int, str]]:
    """In chunks, since databases limit the number of parameters."""
    for start in range(0, len(names), CHUNK):
        yield from session.execute(
            select(ItemRow.name, ItemRow.id, ItemRow.digest).where(
                ItemRow.project_id == project_id, ItemRow.name.in_(names[start : start + CHUNK])
            )
        )


def _read(session: Session, statement: Select[Any], **values: object) -> Iterator[Item]:
    rows = session.connection().execute(statement, values)
    return (_item(answers) for _, answers in groupby(rows, key=lambda row: row.id))


def _item(rows: Iterable[Row[Any]]) -> Item:
    answers = list(rows)
    row = answers[0]
    messages = tuple(Message(role, content) for role, content in row.messages)
    known = tuple(row.known) if isinstance(row.known, list) else row.known
    return Item(
        row.name,
        Prompt(row.prompt, messages, row.family, row.split),
        tuple(answer.body for answer in answers),
        () if row.model is None else tuple(answer.model for answer in answers),
        known,
        row.priority,
    )
