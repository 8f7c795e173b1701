"""Annotations: what was said of the items. Rows are added, never changed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, get_args

from sqlalchemy import Row, Select, bindparam, exists, func, insert, select
from sqlalchemy.orm import Session

from heed.store import leases, members, projects, standings
from heed.store.claims import ITEM, Claim, claim
from heed.store.items import Added
from heed.store.limits import (
    CHUNK,
    COMMENT,
    ITEM_ID,
    LABEL,
    NAME,
    REWRITE,
    UI,
    checked,
    checked_tags,
)
from heed.store.schema import AnnotationRow, ItemRow, MemberRow, SlotRow, table
from heed.types import Annotation, Undecided, Verdict

Key = tuple[str, str, int, int]


@dataclass(frozen=True, slots=True)
class Recorded:
    """An annotation and the handle of the slot it belongs to."""

    handle: str
    annotation: Annotation


SAID, SLOT = table(AnnotationRow).c, table(SlotRow).c
LATER = table(AnnotationRow).alias("later")
ANNOTATIONS = (
    select(
        SAID.slot_id, SAID.revision, SAID.grade, SAID.undecided, SAID.ranking, SAID.shown,
        SAID.seconds, SAID.guideline, SAID.source, SAID.rewrite, SAID.tags, SAID.comment, SAID.ui,
        SLOT.handle, SLOT.occasion, table(ItemRow).c.name.label("item"),
        table(MemberRow).c.name.label("annotator"),
    )
    .join(table(SlotRow), SLOT.id == SAID.slot_id)
    .join(table(ItemRow), table(ItemRow).c.id == SLOT.item_id)
    .join(table(MemberRow), table(MemberRow).c.id == SAID.member_id)
)  # fmt: skip
HISTORY = ANNOTATIONS.where(SLOT.project_id == bindparam("project")).order_by(SAID.id)
NEWEST = HISTORY.where(
    ~exists().where(LATER.c.slot_id == SAID.slot_id, LATER.c.revision > SAID.revision)
)
OF_ITEMS = ANNOTATIONS.where(
    SLOT.item_id.in_(bindparam("items", expanding=True)), SLOT.member_id == bindparam("member")
)
"""By the key of slots alone: by another one SQLite reads all that a member has said."""
BY_KEY = ANNOTATIONS.where(SAID.member_id == bindparam("member"), SAID.key == bindparam("key"))
OF_SLOT = (
    ANNOTATIONS.where(SAID.slot_id == bindparam("slot")).order_by(SAID.revision.desc()).limit(1)
)
LAST_OF = (
    ANNOTATIONS.where(
        table(ItemRow).c.project_id == bindparam("project"),
        table(ItemRow).c.name == bindparam("item"),
        SLOT.member_id == bindparam("member"),
        SLOT.occasion == 0,
    )
    .order_by(SAID.revision.desc())
    .limit(1)
)
REVISION = select(func.max(SAID.revision)).where(SAID.slot_id == bindparam("slot"))


def add(session: Session, project_id: int, annotations: Sequence[Annotation]) -> Added:
    """Take in annotations that were made elsewhere: imports, machine sources.

    Annotators are enrolled by name and source. A label by people of an item that still wants one
    counts as that one; other labels come beside what the queue asks for.

    Raises:
        ValueError: an item is unknown, an annotation does not fit it, is no good text, or has the
            key but not the content of one that is there. Nothing is added then.
    """
    projects.lock(session, project_id)
    chosen = _distinct(checked_annotation(annotation) for annotation in annotations)
    rows = _items(session, project_id, list(chosen.values()))
    people = members.enrolled(session, [(one.annotator, one.source) for one in chosen.values()])
    for id in sorted(member.id for member in people.values()):
        standings.lock(session, project_id, id)
    there = _distinct(_said_before(session, chosen.values(), rows, people))
    for key, annotation in chosen.items():
        if key in there and there[key] != annotation:
            raise ValueError(f"{_named(key)} is there already, with another content")
    fresh = [annotation for key, annotation in chosen.items() if key not in there]
    asked = [
        Claim(rows[said.item], people[said.annotator], said.occasion, said.order)
        for said in fresh
    ]  # fmt: skip
    now = datetime.now(UTC)
    slots = claim(session, project_id, asked, now)
    values = [
        _row(said, slot_id, people[said.annotator].id, None, now)
        for said, slot_id in zip(fresh, slots, strict=True)
    ]
    for start in range(0, len(values), CHUNK):
        session.execute(insert(AnnotationRow), values[start : start + CHUNK])
    return Added(len(fresh), len(annotations) - len(fresh))


def read_all(session: Session, project_id: int, *, history: bool = False) -> list[Annotation]:
    """Every annotation in the order they came; with `history` also those that were superseded."""
    statement = HISTORY if history else NEWEST
    return [row.annotation for row in _recorded(session, statement, project=project_id)]


def last_of(session: Session, project_id: int, item: str, member_id: int) -> Annotation | None:
    """What a member last said of an item at the first occasion."""
    values = {"project": project_id, "item": item, "member": member_id}
    row = next(_recorded(session, LAST_OF, **values), None)
    return None if row is None else row.annotation


def by_key(session: Session, member_id: int, key: str) -> Recorded | None:
    """The annotation that came with this idempotency key."""
    return next(_recorded(session, BY_KEY, member=member_id, key=key), None)


def latest(session: Session, slot_id: int) -> Annotation | None:
    """What is said of a slot at last."""
    found = next(_recorded(session, OF_SLOT, slot=slot_id), None)
    return None if found is None else found.annotation


def append(
    session: Session, slot: leases.Slot, said: Annotation, *, key: str, now: datetime
) -> Annotation:
    """Write down what the slot's member said, as the slot's next revision.

    Raises:
        ValueError: it is no verdict on these answers, or no good text.
    """
    assert slot.member_id is not None
    connection = session.connection()
    revision = 0
    if slot.done_at is not None:
        revision = connection.execute(REVISION, {"slot": slot.id}).scalar_one() + 1
    said = checked_annotation(replace(said, revision=revision))
    row = _row(said, slot.id, slot.member_id, key, now)
    connection.execute(insert(table(AnnotationRow)), row)
    return said


def checked_annotation(said: Annotation) -> Annotation:
    """The annotation itself.

    Raises:
        ValueError: it holds what the store cannot or must not.
    """
    checked(said.item, "an item's id", ITEM_ID, empty=False)
    checked(said.annotator, "an annotator's name", NAME, empty=False)
    checked(said.rewrite, "the rewrite", REWRITE)
    checked(said.comment, "the comment", COMMENT)
    checked(said.ui, "the version of the page", UI)
    checked(said.source, "the source", LABEL)
    checked(said.guideline, "the guideline's version", LABEL)
    checked_tags(said.tags)
    if not (math.isfinite(said.seconds) and said.seconds >= 0):
        raise ValueError(f"the time taken is 0 seconds or more, got {said.seconds}")
    if said.occasion < 0 or said.revision < 0:
        raise ValueError("occasion and revision are 0 or more")
    _verdict(said.verdict)
    return said


def _verdict(verdict: Verdict) -> dict[str, Any]:
    """The three columns a verdict goes to, one of them filled."""
    columns: dict[str, Any] = {"grade": None, "undecided": None, "ranking": None}
    if isinstance(verdict, int) and not isinstance(verdict, bool):
        return {**columns, "grade": verdict}
    if isinstance(verdict, str) and verdict in get_args(Undecided):
        return {**columns, "undecided": verdict}
    if isinstance(verdict, tuple) and all(type(rank) is int for rank in verdict):
        return {**columns, "ranking": list(verdict)}
    raise ValueError(f"no verdict: {verdict!r}")


def _row(
    said: Annotation, slot_id: int, member_id: int, key: str | None, now: datetime
) -> dict[str, Any]:
    return {
        **_verdict(said.verdict),
        "slot_id": slot_id,
        "member_id": member_id,
        "revision": said.revision,
        "shown": list(said.order),
        "seconds": float(said.seconds),
        "guideline": said.guideline,
        "source": said.source,
        "rewrite": said.rewrite,
        "tags": list(said.tags),
        "comment": said.comment,
        "ui": said.ui,
        "key": key,
        "created": now,
    }


def _recorded(session: Session, statement: Select[Any], **values: object) -> Iterator[Recorded]:
    for row in session.connection().execute(statement, values):
        yield Recorded(row.handle, _annotation(row))


def _annotation(row: Row[Any]) -> Annotation:
    verdict: Verdict = row.grade or row.undecided or tuple(row.ranking)
    return Annotation(
        row.item, row.annotator, verdict, row.seconds, row.guideline, row.source, row.occasion,
        row.revision, tuple(row.shown), row.rewrite, tuple(row.tags), row.comment, row.ui,
    )  # fmt: skip


def _key(said: Annotation) -> Key:
    return said.item, said.annotator, said.occasion, said.revision


def _named(key: Key) -> str:
    item, annotator, occasion, revision = key
    return f"the label of {item!r} by {annotator!r} (occasion {occasion}, revision {revision})"


def _distinct(annotations: Iterable[Annotation]) -> dict[Key, Annotation]:
    found: dict[Key, Annotation] = {}
    for annotation in annotations:
        if found.setdefault(_key(annotation), annotation) != annotation:
            raise ValueError(f"{_named(_key(annotation))} comes twice, with different contents")
    return found


def _items(
    session: Session, project_id: int, annotations: Sequence[Annotation]
) -> dict[str, Row[Any]]:
    """The rows of the items that are spoken of."""
    names = list(dict.fromkeys(annotation.item for annotation in annotations))
    rows: dict[str, Row[Any]] = {}
    for start in range(0, len(names), CHUNK):
        some = ItemRow.name.in_(names[start : start + CHUNK])
        for row in session.execute(select(*ITEM).where(ItemRow.project_id == project_id, some)):
            rows[row.name] = row
    for said in annotations:
        if said.item not in rows:
            raise ValueError(f"the project has no item {said.item!r}")
        if rows[said.item].size != len(said.order):
            raise ValueError(
                f"item {said.item!r} has {rows[said.item].size} answers, {said.annotator!r} was"
                f" shown {len(said.order)}"
            )
    return rows


def _said_before(
    session: Session,
    annotations: Iterable[Annotation],
    rows: Mapping[str, Row[Any]],
    people: Mapping[str, members.Member],
) -> Iterator[Annotation]:
    """What these annotators have said of these items."""
    spoken_of: dict[int, list[int]] = {}
    for said in annotations:
        spoken_of.setdefault(people[said.annotator].id, []).append(rows[said.item].id)
    for member, found in spoken_of.items():
        ids = list(dict.fromkeys(found))
        for start in range(0, len(ids), CHUNK):
            some = ids[start : start + CHUNK]
            for row in _recorded(session, OF_ITEMS, member=member, items=some):
                yield row.annotation
