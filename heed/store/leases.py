"""Slots: who is asked for which label, until when, in which order of the answers.

The queue in `heed.feedback.queue` decides what a member is asked next; here are the statements it
is made of. Every function that changes something expects the caller to hold the member's standing
(`standings.lock`), so that one member's requests follow each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BindParameter, Row, Select, bindparam, exists, insert, select, update
from sqlalchemy.orm import Session

from heed.store.items import chance
from heed.store.projects import Project
from heed.store.schema import HandoverRow, ItemRow, ProjectRow, SlotRow, random_id, table
from heed.store.standings import Standing


@dataclass(frozen=True, slots=True)
class Slot:
    """One label that is wanted or was given, and whose it is; `item` is the item's id."""

    id: int
    handle: str
    project_id: int
    item_id: int
    item: str
    kind: str
    occasion: int
    member_id: int | None
    turn: int | None
    drawn_at: datetime | None
    leased_until: datetime | None
    done_at: datetime | None
    shown: tuple[int, ...]


SLOT, ITEM, HANDOVER = table(SlotRow).c, table(ItemRow).c, table(HandoverRow).c
PROJECT: BindParameter[int] = bindparam("project")
MEMBER: BindParameter[int] = bindparam("member")
AGAIN = table(SlotRow).alias("again")

SLOTS: Select[Any] = (
    select(
        SLOT.id, SLOT.handle, SLOT.project_id, SLOT.item_id, ITEM.name.label("item"), SLOT.kind,
        SLOT.occasion, SLOT.member_id, SLOT.turn, SLOT.drawn_at, SLOT.leased_until, SLOT.done_at,
        SLOT.shown,
    )
    .join(table(ItemRow), ITEM.id == SLOT.item_id)
    .with_for_update(of=table(SlotRow))
)  # fmt: skip
"""Slots with their items' ids, locked until the transaction ends."""
FIND = SLOTS.where(SLOT.handle == bindparam("handle"))
OPEN = SLOTS.where(
    SLOT.project_id == PROJECT, SLOT.member_id == MEMBER, SLOT.leased_until.is_not(None)
).order_by(SLOT.id)
LAST_ANSWERED = (
    SLOTS.where(
        SLOT.project_id == PROJECT,
        SLOT.member_id == MEMBER,
        SLOT.answered.is_not(None),
        SLOT.leased_until.is_(None),
    )
    .order_by(SLOT.answered.desc())
    .limit(1)
)
LOST = select(HANDOVER.at).where(
    HANDOVER.slot_id == bindparam("slot"), HANDOVER.member_id == MEMBER
)
CHANGE = update(table(SlotRow)).where(SLOT.id == bindparam("slot"))


def _met(item: Any) -> Any:
    """Whether the member has, or labelled, this item."""
    return exists().where(
        AGAIN.c.item_id == item, AGAIN.c.member_id == MEMBER, AGAIN.c.occasion == 0
    )


def _one(candidates: Select[Any]) -> Select[Any]:
    """The first of the slots that no other transaction is taking this moment."""
    return candidates.limit(1).with_for_update(of=table(SlotRow), skip_locked=True)


MAY_HAVE = (
    select(
        SLOT.id, SLOT.handle, SLOT.item_id, SLOT.member_id, SLOT.rank, SLOT.priority, ITEM.name,
        ITEM.size,
    )
    .join(table(ItemRow), ITEM.id == SLOT.item_id)
    .where(SLOT.project_id == PROJECT, ~_met(SLOT.item_id))
)  # fmt: skip
EXPIRED = _one(
    MAY_HAVE.where(
        SLOT.leased_until.is_not(None),
        SLOT.leased_until <= bindparam("now"),
        SLOT.done_at.is_(None),
        SLOT.kind == "wanted",
    ).order_by(SLOT.leased_until)
)
FREE = MAY_HAVE.where(SLOT.member_id.is_(None))
BY_RANK = _one(FREE.where(SLOT.rank >= bindparam("start")).order_by(SLOT.rank, SLOT.id))
BY_PRIORITY = _one(
    FREE.where(SLOT.priority <= bindparam("start")).order_by(
        SLOT.priority.desc(), SLOT.rank.desc(), SLOT.id.desc()
    )
)

WANTED = select(table(ProjectRow).c.wanted).where(table(ProjectRow).c.id == PROJECT)

WHOLE_ITEM = select(ITEM.id, ITEM.name, ITEM.size, ITEM.rank, ITEM.priority).limit(1)
GOLD = WHOLE_ITEM.where(
    ITEM.project_id == PROJECT,
    ITEM.known.is_not(None),
    ITEM.rank >= bindparam("start"),
    ~_met(ITEM.id),
).order_by(ITEM.rank, ITEM.id)
REPEAT = (
    WHOLE_ITEM.join(table(SlotRow), SLOT.item_id == ITEM.id)
    .where(
        SLOT.project_id == PROJECT,
        SLOT.member_id == MEMBER,
        SLOT.answered >= bindparam("start"),
        SLOT.answered <= bindparam("up_to"),
        SLOT.kind == "wanted",
        ~exists().where(
            AGAIN.c.item_id == SLOT.item_id, AGAIN.c.member_id == MEMBER, AGAIN.c.occasion > 0
        ),
    )
    .order_by(SLOT.answered)
)


def open_slots(session: Session, project_id: int, member_id: int) -> list[Slot]:
    """What the member holds, first given first: leases, expired or not, and reopened labels.

    They are locked in the order of their ids, as everyone locks slots: else two transactions could
    wait for each other.
    """
    whose = {"project": project_id, "member": member_id}
    slots = [_slot(row) for row in session.connection().execute(OPEN, whose)]
    return sorted(slots, key=lambda slot: (slot.turn, slot.id))


def find(session: Session, handle: str) -> Slot | None:
    """The slot of this handle, locked until the transaction ends."""
    row = session.connection().execute(FIND, {"handle": handle}).one_or_none()
    return None if row is None else _slot(row)


def last_answered(session: Session, project_id: int, member_id: int) -> Slot | None:
    """What the member said last, among what is not open again already."""
    whose = {"project": project_id, "member": member_id}
    row = session.connection().execute(LAST_ANSWERED, whose).one_or_none()
    return None if row is None else _slot(row)


def lost(session: Session, slot_id: int, member_id: int) -> bool:
    """Whether the member once held this slot."""
    what = {"slot": slot_id, "member": member_id}
    return session.connection().execute(LOST, what).first() is not None


def all_given(
    session: Session, project: Project, member_id: int, standing: Standing, now: datetime
) -> bool:
    """Whether the project wants labels, and none of them from this member any more.

    False for a project of gold items alone, which is there to measure people.
    """
    whose = {"project": project.id, "member": member_id}
    connection = session.connection()
    by_priority = project.settings.order == "disagreement"
    return bool(
        connection.execute(WANTED, {"project": project.id}).scalar_one()
        and _first_free(session, whose, standing, by_priority=by_priority) is None
        and connection.execute(EXPIRED, {**whose, "now": now}).first() is None
    )


def take_wanted(
    session: Session,
    project: Project,
    member_id: int,
    standing: Standing,
    *,
    by_priority: bool,
    now: datetime,
) -> tuple[Slot, Standing] | None:
    """Lease the first wanted slot that this member may have; also returns where the member stands.

    Leases that ran out go first, the oldest before others: they were due before anything that is
    still free. Then free slots, by rank or by priority. On PostgreSQL a slot that someone else is
    taking this moment is passed over.
    """
    connection = session.connection()
    whose = {"project": project.id, "member": member_id}
    row = connection.execute(EXPIRED, {**whose, "now": now}).one_or_none()
    if row is not None:
        hand_over(session, row.id, row.member_id, now)
    else:
        row = _first_free(session, whose, standing, by_priority=by_priority)
        if row is None:
            return None
        walked = {"priority_from": row.priority} if by_priority else {"rank_from": row.rank}
        standing = replace(standing, **walked)
    values = _lease(project, member_id, row.name, row.size, 0, standing.drawn, now)
    connection.execute(CHANGE, {"slot": row.id, **values})
    made = {"id": row.id, "handle": row.handle, "item_id": row.item_id, "kind": "wanted"}
    return _leased(project, row.name, {**values, **made, "occasion": 0}), standing


def take_gold(
    session: Session, project: Project, member_id: int, *, turn: int, now: datetime
) -> Slot | None:
    """Lease a gold item the member never saw, walking on from a point drawn at random."""
    start = chance(project.settings.seed, "which gold", member_id, turn)
    whose = {"project": project.id, "member": member_id}
    return _make(session, project, whose, GOLD, start, 0, turn, now)


def take_repeat(
    session: Session, project: Project, member_id: int, *, up_to: int, turn: int, now: datetime
) -> Slot | None:
    """Lease once more an item the member labelled, among the first `up_to` submissions and not
    asked again before; walking on from a point drawn at random.
    """
    start = int(chance(project.settings.seed, "which repeat", member_id, turn) * up_to)
    whose = {"project": project.id, "member": member_id, "up_to": up_to}
    return _make(session, project, whose, REPEAT, start, 1, turn, now)


def renew(session: Session, project: Project, slot: Slot, now: datetime) -> datetime:
    """Let a lease run from now; returns when it ends."""
    until = now + timedelta(seconds=project.settings.lease_seconds)
    session.connection().execute(CHANGE, {"slot": slot.id, "leased_until": until})
    return until


def give_back(session: Session, slot: Slot, now: datetime) -> None:
    """End a lease before its time: a wanted slot is free again, a gold item or repeat stays the
    member's for later, a reopened label stays as it was.
    """
    values: dict[str, Any] = {"leased_until": None}
    if slot.done_at is None and slot.kind == "wanted":
        assert slot.member_id is not None
        hand_over(session, slot.id, slot.member_id, now)
        values |= {"member_id": None, "turn": None, "drawn_at": None, "shown": None}
    elif slot.done_at is None:
        values = {"leased_until": now}
    session.connection().execute(CHANGE, {"slot": slot.id, **values})


def finish(session: Session, slot: Slot, *, answered: int, now: datetime) -> None:
    """A slot has its label; it is the member's submission number `answered`."""
    values = {"leased_until": None, "done_at": now, "answered": answered}
    session.connection().execute(CHANGE, {"slot": slot.id, **values})


def sides(
    project: Project, item: str, answers: int, member_id: int, occasion: int
) -> tuple[int, ...]:
    """The order of the answers in which this member sees them on this occasion."""
    seed = project.settings.seed

    def drawn(place: int) -> float:
        return chance(seed, "sides", item, member_id, occasion, place)

    return tuple(sorted(range(answers), key=drawn))


def _first_free(
    session: Session, whose: dict[str, int], standing: Standing, *, by_priority: bool
) -> Row[Any] | None:
    """The first free slot that this member may have, from where the last walk ended: what lies
    before it the member has met, and there may be very many of those.
    """
    if by_priority:
        return _walk(session, BY_PRIORITY, whose, standing.priority_from, math.inf)
    return _walk(session, BY_RANK, whose, standing.rank_from, 0.0)


def _walk(
    session: Session,
    walk: Select[Any],
    whose: dict[str, Any],
    start: float | None,
    first: float,
) -> Row[Any] | None:
    """The first row at or after `start`; where there is none, the very first."""
    connection = session.connection()
    row = None
    if start is not None and start != first:
        row = connection.execute(walk, {**whose, "start": start}).one_or_none()
    return row or connection.execute(walk, {**whose, "start": first}).one_or_none()


def _make(
    session: Session,
    project: Project,
    whose: dict[str, int],
    walk: Select[Any],
    start: float,
    occasion: int,
    turn: int,
    now: datetime,
) -> Slot | None:
    """A slot for one member, of the first item at or after `start`, else of the very first."""
    item = _walk(session, walk, whose, start, 0.0)
    if item is None:
        return None
    kind = "repeat" if occasion else "gold"
    values = _lease(project, whose["member"], item.name, item.size, occasion, turn, now)
    values |= {"handle": random_id(), "item_id": item.id, "kind": kind, "occasion": occasion}
    more = {"project_id": project.id, "rank": item.rank, "priority": item.priority}
    made = insert(table(SlotRow)).returning(SLOT.id)
    id = session.connection().execute(made, {**values, **more}).scalar_one()
    return _leased(project, item.name, {**values, "id": id})


def _lease(
    project: Project,
    member_id: int,
    item: str,
    answers: int,
    occasion: int,
    turn: int,
    now: datetime,
) -> dict[str, Any]:
    """What a slot's row says while the member holds it."""
    return {
        "member_id": member_id,
        "drawn_at": now,
        "leased_until": now + timedelta(seconds=project.settings.lease_seconds),
        "turn": turn,
        "shown": list(sides(project, item, answers, member_id, occasion)),
    }


def _leased(project: Project, item: str, values: dict[str, Any]) -> Slot:
    shown = tuple(values["shown"])
    return Slot(
        **{**values, "project_id": project.id, "item": item, "done_at": None, "shown": shown}
    )


def hand_over(session: Session, slot_id: int, member_id: int, now: datetime) -> None:
    """Remember who held a slot, so that a late answer can be told what happened."""
    if not lost(session, slot_id, member_id):
        row = {"slot_id": slot_id, "member_id": member_id, "at": now}
        session.connection().execute(insert(table(HandoverRow)), row)


def _slot(row: Row[Any]) -> Slot:
    values = dict(row._mapping)
    return Slot(**{**values, "shown": tuple(values["shown"] or ())})
