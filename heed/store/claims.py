"""Slots for labels that were made elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, insert, or_, select, update
from sqlalchemy.orm import Session

from heed.store import leases, standings
from heed.store.limits import CHUNK
from heed.store.members import Member
from heed.store.schema import ItemRow, SlotRow

Key = tuple[int, int, int]
"""An item's row, a member and the occasion."""
ITEM = (
    ItemRow.id, ItemRow.name, ItemRow.size, ItemRow.known, ItemRow.rank, ItemRow.priority,
)  # fmt: skip
"""The columns of an item's row that a claim needs."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A member labelled this item, the answers shown in this order."""

    item: Row[Any]
    member: Member
    occasion: int
    shown: tuple[int, ...]

    @property
    def key(self) -> Key:
        """What makes the slot this one."""
        return self.item.id, self.member.id, self.occasion


@dataclass(frozen=True, slots=True)
class _Place:
    """A slot, and whether it had its label before."""

    id: int
    kind: str
    done: bool


def claim(session: Session, project_id: int, claims: Sequence[Claim], now: datetime) -> list[int]:
    """The slot of each claim, done now at the latest.

    That is the member's own slot, or (for people, on occasion 0) a free one of the item or one
    whose lease ran out, or a new one beside those the queue asks for.
    """
    asked = {each.key: each for each in claims}
    own = _own(session, asked)
    others = [each for key, each in asked.items() if key not in own]
    free = _free(session, others, {place.id for place in own.values()}, now)
    found = own | free
    pending = {key: place for key, place in found.items() if not place.done}
    _finish(session, pending, asked, now)
    missing = [each for key, each in asked.items() if key not in found]
    made = _make(session, project_id, missing, now)
    _count(session, project_id, pending | made)
    places = found | made
    return [places[each.key].id for each in claims]


def _own(session: Session, asked: Collection[Key]) -> dict[Key, _Place]:
    """The slots that these members have already, for what is asked. They are locked: a lease that
    ran out could go to someone else meanwhile.
    """
    wanted: dict[int, set[int]] = {}
    for item_id, member_id, _ in asked:
        wanted.setdefault(member_id, set()).add(item_id)
    found: dict[Key, _Place] = {}
    for member_id, chosen in sorted(wanted.items()):
        items = sorted(chosen)
        for start in range(0, len(items), CHUNK):
            rows = session.execute(
                select(SlotRow.id, SlotRow.item_id, SlotRow.occasion, SlotRow.kind, SlotRow.done_at)
                .where(SlotRow.item_id.in_(items[start : start + CHUNK]))
                .where(SlotRow.member_id == member_id)
                .with_for_update()
            )
            for row in rows:
                key = (row.item_id, member_id, row.occasion)
                if key in asked:
                    found[key] = _Place(row.id, row.kind, row.done_at is not None)
    return found


def _free(
    session: Session, claims: Sequence[Claim], own: Collection[int], now: datetime
) -> dict[Key, _Place]:
    """Slots the queue still wants filled, for labels by people: free ones before those whose
    lease ran out. They are locked, so that nobody is given one meanwhile.
    """
    people = [each for each in claims if each.member.source == "people" and each.occasion == 0]
    items = sorted({each.item.id for each in people})
    stock: dict[int, list[Row[int, int, int | None]]] = {}
    for start in range(0, len(items), CHUNK):
        rows = session.execute(
            select(SlotRow.id, SlotRow.item_id, SlotRow.member_id)
            .where(
                SlotRow.kind == "wanted",
                SlotRow.done_at.is_(None),
                or_(SlotRow.member_id.is_(None), SlotRow.leased_until <= now),
                SlotRow.item_id.in_(items[start : start + CHUNK]),
            )
            .with_for_update(skip_locked=True)
        )
        for row in sorted(rows, key=lambda row: (row.member_id is None, -row.id)):
            if row.id not in own:
                stock.setdefault(row.item_id, []).append(row)
    taken = {each.key: stock[each.item.id].pop() for each in people if stock.get(each.item.id)}
    for slot in taken.values():
        if slot.member_id is not None:
            leases.hand_over(session, slot.id, slot.member_id, now)
    return {key: _Place(slot.id, "wanted", False) for key, slot in taken.items()}


def _finish(
    session: Session, places: Mapping[Key, _Place], asked: Mapping[Key, Claim], now: datetime
) -> None:
    values = [
        {"slot": place.id, "whose": key[1], "order": list(asked[key].shown)}
        for key, place in places.items()
    ]
    if values:
        statement = update(SlotRow).where(SlotRow.id == bindparam("slot"))
        session.connection().execute(
            statement.values(
                member_id=bindparam("whose"),
                shown=bindparam("order", type_=SlotRow.shown.type),
                turn=None,
                drawn_at=None,
                leased_until=None,
                done_at=now,
            ),
            values,
        )


def _make(
    session: Session, project_id: int, claims: Sequence[Claim], now: datetime
) -> dict[Key, _Place]:
    rows = [
        {
            "project_id": project_id, "item_id": each.item.id, "kind": _kind(each),
            "occasion": each.occasion, "member_id": each.member.id, "shown": list(each.shown),
            "done_at": now, "rank": each.item.rank, "priority": each.item.priority,
        }
        for each in claims
    ]  # fmt: skip
    ids: list[int] = []
    for start in range(0, len(rows), CHUNK):
        statement = insert(SlotRow).returning(SlotRow.id, sort_by_parameter_order=True)
        ids += session.scalars(statement, rows[start : start + CHUNK])
    return {each.key: _Place(id, _kind(each), False) for each, id in zip(claims, ids, strict=True)}


def _kind(claim: Claim) -> str:
    if claim.occasion:
        return "repeat"
    return "extra" if claim.item.known is None else "gold"


def _count(session: Session, project_id: int, places: Mapping[Key, _Place]) -> None:
    """Labels that are new, member by member."""
    labels = Counter(member_id for _, member_id, _ in places)
    wanted = Counter(key[1] for key, place in places.items() if place.kind == "wanted")
    for member_id, count in labels.items():
        standing = standings.lock(session, project_id, member_id)
        changed = replace(
            standing,
            labels=standing.labels + count,
            wanted_done=standing.wanted_done + wanted[member_id],
        )
        standings.record(session, project_id, member_id, changed)
