"""Where a member stands in a project: the counts that draws and progress go by.

A standing is one row, and its lock makes one member's requests follow each other.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    Select,
    bindparam,
    case,
    exists,
    func,
    insert,
    select,
    union,
    update,
)
from sqlalchemy.orm import Session

from heed.store.schema import MemberRow, ProjectRow, SlotRow, StandingRow, table

COUNTED = 300
"""When so few labels are missing, what is left for a member is counted one by one."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a member is: slots given, submissions, slots labelled, the wanted among them; and
    where the walks of the free slots by rank (upwards) and by priority (downwards) go on.
    """

    drawn: int = 0
    said: int = 0
    labels: int = 0
    wanted_done: int = 0
    rank_from: float = 0.0
    priority_from: float | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Labels done by all, items left for the member, labels of the member's, labels wanted."""

    done: int
    left: int
    mine: int
    wanted: int


STANDING = table(StandingRow).c
WHOSE = (
    STANDING.project_id == bindparam("project"), STANDING.member_id == bindparam("member"),
)  # fmt: skip
LOCK = select(*(STANDING[field.name] for field in fields(Standing))).where(*WHOSE).with_for_update()
RECORD = update(table(StandingRow)).where(*WHOSE)


def _sum(column: Any) -> Any:
    return func.coalesce(func.sum(column), 0)


def _counts() -> Select[Any]:
    project = table(ProjectRow)
    mine = STANDING.member_id == bindparam("member")
    return (
        select(
            project.c.wanted,
            project.c.ordinary,
            _sum(STANDING.wanted_done).label("done"),
            _sum(case((mine, STANDING.labels))).label("mine"),
            _sum(case((mine, STANDING.wanted_done))).label("mine_wanted"),
        )
        .outerjoin(table(StandingRow), STANDING.project_id == project.c.id)
        .where(project.c.id == bindparam("project"))
        .group_by(project.c.id)
    )


def _left() -> Select[Any]:
    """Items with a slot that is free, or whose lease ran out, or that the member holds."""
    slot, held = table(SlotRow), table(SlotRow).alias("held")
    member: BindParameter[int] = bindparam("member")
    met = exists().where(
        held.c.item_id == slot.c.item_id, held.c.member_id == member, held.c.occasion == 0
    )
    items = select(slot.c.item_id).where(slot.c.project_id == bindparam("project"))
    leased = items.where(
        slot.c.leased_until.is_not(None), slot.c.done_at.is_(None), slot.c.kind == "wanted"
    )
    could = union(
        items.where(slot.c.member_id.is_(None), ~met),
        leased.where(slot.c.leased_until <= bindparam("now"), ~met),
        leased.where(slot.c.member_id == member),
    )
    return select(func.count()).select_from(could.subquery())


COUNTS, LEFT = _counts(), _left()


def lock(session: Session, project_id: int, member_id: int) -> Standing:
    """Where the member stands, locked until the transaction ends.

    Raises:
        ValueError: there is no such member or project.
    """
    found = _find(session, project_id, member_id)
    if found is not None:
        return found
    member = select(MemberRow.id).where(MemberRow.id == member_id)
    if session.scalar(member.with_for_update(key_share=True)) is None:
        raise ValueError(f"no member has the id {member_id}")
    if session.scalar(select(ProjectRow.id).where(ProjectRow.id == project_id)) is None:
        raise ValueError(f"no project has the id {project_id}")
    found = _find(session, project_id, member_id)
    if found is None:
        found = Standing()
        row = {"project_id": project_id, "member_id": member_id}
        session.execute(insert(StandingRow).values(**row, **asdict(found)))
    return found


def record(session: Session, project_id: int, member_id: int, standing: Standing) -> None:
    """Write down where the member stands now."""
    whose = {"project": project_id, "member": member_id}
    session.connection().execute(RECORD, {**whose, **asdict(standing)})


def walk_anew(session: Session, project_id: int, *, behind: float = math.inf) -> None:
    """Slots of other priorities, or new ones, are there: walks by priority begin again, where they
    are below the priority `behind`. Others are not touched, and need not wait for this transaction.
    """
    session.execute(
        update(StandingRow)
        .where(StandingRow.project_id == project_id, StandingRow.priority_from < behind)
        .values(priority_from=None)
    )


def counts(session: Session, project_id: int, member_id: int, now: datetime) -> Counts:
    """How far the project and the member are.

    What is left for the member is what the queue could give now, and what the member holds. It is
    counted for the last `COUNTED` labels; before, it is the smaller of the labels missing and the
    items the member has not labelled, which may be a little too many.
    """
    whose = {"project": project_id, "member": member_id}
    row = session.connection().execute(COUNTS, whose).one()
    missing = row.wanted - row.done
    if missing > COUNTED:
        left = min(missing, row.ordinary - row.mine_wanted)
    else:
        left = session.connection().execute(LEFT, {**whose, "now": now}).scalar_one()
    return Counts(row.done, left, row.mine, row.wanted)


def _find(session: Session, project_id: int, member_id: int) -> Standing | None:
    whose = {"project": project_id, "member": member_id}
    row = session.connection().execute(LOCK, whose).one_or_none()
    return None if row is None else Standing(*row)
