"""Projects: what is labelled under one set of rules."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from heed.store import standings
from heed.store.limits import LABEL, NAME, checked
from heed.store.schema import DraftRow, HandoverRow, ItemRow, ProjectRow, SlotRow, random_id

QueueOrder = Literal["random", "disagreement", "mixed"]
SEEDS = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    """How a project's queue works and what a label costs.

    `per_item` annotators label each item; `gold_rate` and `repeat_rate` are the shares of draws
    that become a gold item or a planned repeat; `order` says which items come first: in random
    order, by `Item.priority` (high first), or by a coin between both. A lease lasts
    `lease_seconds`.

    Raises:
        ValueError: a setting makes no sense.
    """

    per_item: int = 1
    gold_rate: float = 0.0
    repeat_rate: float = 0.0
    order: QueueOrder = "random"
    lease_seconds: int = 900
    pay_per_hour: float = 0.0
    currency: str = "USD"
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.per_item <= 1000:
            raise ValueError(f"`per_item` is 1 to 1000, got {self.per_item}")
        rates = (self.gold_rate, self.repeat_rate)
        if not all(0 <= rate <= 1 for rate in rates) or sum(rates) > 1:
            raise ValueError(f"`gold_rate` and `repeat_rate` are shares that sum to 1, got {rates}")
        if self.order not in get_args(QueueOrder):
            raise ValueError(f"`order` is one of {get_args(QueueOrder)}, got {self.order!r}")
        if not 1 <= self.lease_seconds <= 10**8:
            raise ValueError(f"`lease_seconds` is at least 1, got {self.lease_seconds}")
        if not (self.pay_per_hour >= 0 and math.isfinite(self.pay_per_hour)):
            raise ValueError(f"`pay_per_hour` is 0 or more, got {self.pay_per_hour}")
        if type(self.seed) is not int or self.seed not in SEEDS:
            raise ValueError(f"`seed` is a 64-bit integer, got {self.seed}")
        checked(self.currency, "`currency`", LABEL)


@dataclass(frozen=True, slots=True)
class Project:
    """A project as it stands in the store; `uid` is random, and no other store's."""

    id: int
    name: str
    settings: ProjectSettings
    uid: str


def create(session: Session, name: str, settings: ProjectSettings | None = None) -> Project:
    """A new project.

    Raises:
        ValueError: the name is taken or no good.
    """
    checked(name, "a project's name", NAME, empty=False)
    settings = settings or ProjectSettings()
    values = {**_columns(settings), "name": name, "created": datetime.now(UTC)}
    values |= {"uid": random_id(), "ordinary": 0, "wanted": 0}
    try:
        with session.begin_nested():
            id = session.scalars(insert(ProjectRow).values(values).returning(ProjectRow.id)).one()
    except IntegrityError as error:
        raise ValueError(f"there is a project {name!r} already") from error
    return Project(id, name, settings, values["uid"])


def find(session: Session, name: str) -> Project | None:
    """The project of this name."""
    row = session.scalars(select(ProjectRow).where(ProjectRow.name == name)).one_or_none()
    return None if row is None else _project(row)


def get(session: Session, project_id: int) -> Project:
    """The project of this id.

    Raises:
        ValueError: there is none.
    """
    row = session.get(ProjectRow, project_id)
    if row is None:
        raise ValueError(f"no project has the id {project_id}")
    return _project(row)


def listing(session: Session) -> list[Project]:
    """All projects, oldest first."""
    return [_project(row) for row in session.scalars(select(ProjectRow).order_by(ProjectRow.id))]


def change(session: Session, project_id: int, settings: ProjectSettings) -> Project:
    """Give a project other settings.

    More annotators an item make new slots; fewer take away slots that are still free. What was
    labelled or is being labelled stays.
    """
    lock(session, project_id)
    before = get(session, project_id).settings
    session.execute(
        update(ProjectRow).where(ProjectRow.id == project_id).values(_columns(settings))
    )
    session.expire_all()
    if settings.per_item > before.per_item:
        _add_places(session, project_id, settings.per_item)
        standings.walk_anew(session, project_id)
    if settings.per_item < before.per_item:
        _drop_places(session, project_id, settings.per_item)
    count_wanted(session, project_id)
    return get(session, project_id)


def lock(session: Session, project_id: int) -> None:
    """Wait until no other transaction changes the project's settings or items.

    Raises:
        ValueError: there is no such project.
    """
    statement = select(ProjectRow.id).where(ProjectRow.id == project_id)
    if session.scalar(statement.with_for_update(key_share=True)) is None:
        raise ValueError(f"no project has the id {project_id}")


def count_more(session: Session, project_id: int, ordinary: int, wanted: int) -> None:
    """So many items, and wanted labels of theirs, have come; who calls it holds the lock."""
    session.execute(
        update(ProjectRow)
        .where(ProjectRow.id == project_id)
        .values(ordinary=ProjectRow.ordinary + ordinary, wanted=ProjectRow.wanted + wanted)
    )


def count_wanted(session: Session, project_id: int) -> None:
    """Bring the project's counts of items and wanted labels up to date."""
    ordinary = select(func.count()).where(ItemRow.project_id == project_id, ItemRow.known.is_(None))
    wanted = select(func.count()).where(SlotRow.project_id == project_id, SlotRow.kind == "wanted")
    session.execute(
        update(ProjectRow)
        .where(ProjectRow.id == project_id)
        .values(ordinary=ordinary.scalar_subquery(), wanted=wanted.scalar_subquery())
    )


def _add_places(session: Session, project_id: int, per_item: int) -> None:
    """Every item that is not gold gets the places it lacks."""
    held = (
        select(SlotRow.item_id, func.count().label("places"), func.max(SlotRow.place).label("last"))
        .where(SlotRow.project_id == project_id, SlotRow.kind == "wanted")
        .group_by(SlotRow.item_id)
        .subquery()
    )
    lacking = session.execute(
        select(ItemRow.id, ItemRow.rank, ItemRow.priority, held.c.places, held.c.last)
        .outerjoin(held, held.c.item_id == ItemRow.id)
        .where(ItemRow.project_id == project_id, ItemRow.known.is_(None))
    ).all()
    rows = [
        {
            "project_id": project_id, "item_id": item_id, "kind": "wanted", "occasion": 0,
            "place": (-1 if last is None else last) + 1 + extra,
            "rank": rank, "priority": priority,
        }
        for item_id, rank, priority, places, last in lacking
        for extra in range(per_item - (places or 0))
    ]  # fmt: skip
    if rows:
        session.execute(insert(SlotRow), rows)


def _drop_places(session: Session, project_id: int, per_item: int) -> None:
    """Take away free slots, last places first, while an item has more than it should."""
    slots = session.execute(
        select(SlotRow.id, SlotRow.item_id, SlotRow.place, SlotRow.member_id)
        .where(SlotRow.project_id == project_id, SlotRow.kind == "wanted")
        .order_by(SlotRow.id)  # as everyone locks slots: else two could wait for each other
        .with_for_update()
    ).all()
    places = Counter(slot.item_id for slot in slots)
    surplus = []
    for slot in sorted(slots, key=lambda slot: -slot.place):
        if slot.member_id is None and places[slot.item_id] > per_item:
            surplus.append(slot.id)
            places[slot.item_id] -= 1
    for start in range(0, len(surplus), 1000):
        chosen = surplus[start : start + 1000]
        drop_slots(session, chosen)


def drop_slots(session: Session, ids: list[int]) -> None:
    """Delete slots that hold no annotation, and what refers to them."""
    session.execute(delete(DraftRow).where(DraftRow.slot_id.in_(ids)))
    session.execute(delete(HandoverRow).where(HandoverRow.slot_id.in_(ids)))
    session.execute(delete(SlotRow).where(SlotRow.id.in_(ids)))


def _columns(settings: ProjectSettings) -> dict[str, Any]:
    values = asdict(settings)
    order = values.pop("order")
    return {**values, "queue_order": order}


def _project(row: ProjectRow) -> Project:
    settings = ProjectSettings(
        per_item=row.per_item,
        gold_rate=row.gold_rate,
        repeat_rate=row.repeat_rate,
        order=row.queue_order,  # type: ignore[arg-type]
        lease_seconds=row.lease_seconds,
        pay_per_hour=row.pay_per_hour,
        currency=row.currency,
        seed=row.seed,
    )
    return Project(row.id, row.name, settings, row.uid)
