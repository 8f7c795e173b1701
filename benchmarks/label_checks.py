"""What the database holds after a day's work, against what the annotators remember.

Every check says what is wrong; none of them asks the server.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from benchmarks.label_crowd import Day, Said
from benchmarks.label_site import Site, mark
from heed.store.database import Store
from heed.store.schema import (
    AnnotationRow,
    ItemRow,
    MemberRow,
    ProjectRow,
    SlotRow,
    StandingRow,
)

Rows = dict[str, Row[Any]]
SPREAD = 5.0
"""Standard deviations by which the share of answers shown in their own order may miss a half."""


@dataclass(frozen=True)
class Account:
    """What is wrong (nothing, one hopes), and what is worth telling.

    `repeated` answers were in the database before the request left that acknowledged them;
    `in_order` is the share of pairs that were shown in the item's own order.
    """

    problems: list[str]
    labels: int
    repeated: int
    in_order: float


def account(site: Site, day: Day) -> Account:
    """Hold everything that was said against the store."""
    store = Store.open(site.place)
    try:
        with store.read() as session:
            rows, kept = _annotations(session, site.project)
            counted = _counted(session, site.project)
    finally:
        store.close()
    problems = [f"key {key} is there {n} times" for key, n in Counter(kept).items() if n > 1]
    for check in CHECKS:
        problems += check(site, day.said, rows)
    if counted != len(kept):
        problems.append(f"progress counts {counted} labels, there are {len(kept)}")
    straight = sum(list(row.shown) == [0, 1] for row in rows.values())
    return Account(
        [*day.faults, *problems],
        len(kept),
        sum(_before(rows.get(said.body["key"]), said.sent) for said in day.said),
        straight / max(1, len(rows)),
    )


def _annotations(session: Session, project: str) -> tuple[Rows, list[str]]:
    """The project's annotations by their keys; and all the keys."""
    found = session.execute(
        select(
            AnnotationRow.key, AnnotationRow.revision, AnnotationRow.grade,
            AnnotationRow.undecided, AnnotationRow.shown, AnnotationRow.seconds,
            AnnotationRow.tags, AnnotationRow.comment, AnnotationRow.ui, AnnotationRow.created,
            AnnotationRow.slot_id, SlotRow.kind, SlotRow.occasion, SlotRow.done_at,
            ItemRow.name.label("item"), MemberRow.name.label("member"),
        )
        .join(SlotRow, SlotRow.id == AnnotationRow.slot_id)
        .join(ItemRow, ItemRow.id == SlotRow.item_id)
        .join(MemberRow, MemberRow.id == AnnotationRow.member_id)
        .join(ProjectRow, ProjectRow.id == SlotRow.project_id)
        .where(ProjectRow.name == project)
    ).all()  # fmt: skip
    return {row.key: row for row in found}, [row.key for row in found]


def _counted(session: Session, project: str) -> int:
    """The labels by the counts that progress is read from."""
    done = select(func.coalesce(func.sum(StandingRow.wanted_done), 0))
    of = done.join(ProjectRow, ProjectRow.id == StandingRow.project_id)
    return int(session.scalars(of.where(ProjectRow.name == project)).one())


def acknowledged(_: Site, said: Sequence[Said], rows: Rows) -> Iterator[str]:
    """Every acknowledged answer is there as it was said, on the sides that were shown."""
    for one in said:
        row = rows.get(one.body["key"])
        if one.sent is None:
            continue
        if row is None:
            yield f"lost: {one.name} was told that key {one.body['key']} is saved"
        elif _told(one) != _kept(row):
            yield f"changed: {one.name} said {_told(one)}, kept is {_kept(row)}"


def only_those(_: Site, said: Sequence[Said], rows: Rows) -> Iterator[str]:
    """Nothing is there that was refused, or never said."""
    known = {one.body["key"]: one for one in said}
    for key in rows:
        if key not in known:
            yield f"from nowhere: key {key}"
        elif known[key].refused:
            yield f"refused ({known[key].refused}) and kept all the same: key {key}"
        elif known[key].sent is None:
            yield f"kept, and {known[key].name} never learned of it: key {key}"


def often_enough(site: Site, _: Sequence[Said], rows: Rows) -> Iterator[str]:
    """Every item has as many labels as were asked for, no more and no fewer."""
    often = Counter(row.item for row in rows.values())
    for at in range(site.items):
        if often[f"item {at}"] != site.per_item:
            yield f"item {at} has {often[f'item {at}']} labels, not {site.per_item}"


def nobody_twice(_: Site, __: Sequence[Said], rows: Rows) -> Iterator[str]:
    """No item went to one person twice; each label has a slot of its own, which is done."""
    whose: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    slots: Counter[int] = Counter()
    for key, row in rows.items():
        whose[row.item, row.member].add(row.slot_id)
        slots[row.slot_id] += 1
        if (row.kind, row.occasion, row.revision) != ("wanted", 0, 0) or row.done_at is None:
            yield f"key {key} is no first label of a slot that is done: {tuple(row)}"
    yield from (f"twice: {pair}" for pair, held in whose.items() if len(held) > 1)
    yield from (f"slot {slot} has {n} labels" for slot, n in slots.items() if n > 1)


def both_sides(_: Site, __: Sequence[Said], rows: Rows) -> Iterator[str]:
    """Either answer stands on the left about half of the time."""
    straight = sum(list(row.shown) == [0, 1] for row in rows.values())
    if abs(straight - len(rows) / 2) > SPREAD * (len(rows) / 4) ** 0.5:
        yield f"{straight} of {len(rows)} pairs were shown in the item's own order"


CHECKS: tuple[Callable[[Site, Sequence[Said], Rows], Iterator[str]], ...] = (
    acknowledged, only_those, often_enough, nobody_twice, both_sides,
)  # fmt: skip


def _told(said: Said) -> tuple[Any, ...]:
    """An answer as its annotator remembers it: whose, of what, on which sides, and what."""
    marks = [mark(text) for text in said.shown]
    body = said.body
    return (
        said.name, {item for item, _ in marks}, [place for _, place in marks], body["verdict"],
        body["seconds"], body["tags"], body["comment"], body["ui"],
    )  # fmt: skip


def _kept(row: Row[Any]) -> tuple[Any, ...]:
    """The same of the database's row."""
    return (
        row.member, {row.item}, list(row.shown), row.grade or row.undecided, row.seconds,
        list(row.tags), row.comment, row.ui,
    )  # fmt: skip


def _before(row: Row[Any] | None, sent: datetime | None) -> bool:
    return row is not None and sent is not None and row.created < sent
