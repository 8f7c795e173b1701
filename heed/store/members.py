"""Members: everyone who labels, people and machines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, cast, get_args

from sqlalchemy import bindparam, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from heed.store.limits import CHUNK, LABEL, NAME, checked
from heed.store.schema import MemberRow, table

Role = Literal["annotator", "reviewer", "owner"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, slots=True)
class Member:
    """Who labels; `source` is the kind of annotator ("people", "judge", "simulated" ...)."""

    id: int
    name: str
    role: Role
    source: str


MEMBER = table(MemberRow).c
OF_ID = select(MEMBER.id, MEMBER.name, MEMBER.role, MEMBER.source).where(
    MEMBER.id == bindparam("member")
)


def enrol(session: Session, name: str, role: Role = "annotator", source: str = "people") -> Member:
    """A new member.

    Raises:
        ValueError: the name is taken or no good, or there is no such role.
    """
    checked(name, "a member's name", NAME, empty=False)
    checked(source, "a source", LABEL)
    if role not in ROLES:
        raise ValueError(f"a role is one of {ROLES}, got {role!r}")
    row = {"name": name, "role": role, "source": source, "created": datetime.now(UTC)}
    try:
        with session.begin_nested():
            id = session.scalars(insert(MemberRow).values(row).returning(MemberRow.id)).one()
    except IntegrityError as error:
        raise ValueError(f"the name {name!r} is taken") from error
    return Member(id, name, role, source)


def get(session: Session, id: int) -> Member:
    """The member of this id.

    Raises:
        ValueError: there is none.
    """
    row = session.connection().execute(OF_ID, {"member": id}).one_or_none()
    if row is None:
        raise ValueError(f"no member has the id {id}")
    return Member(*row)


def find(session: Session, name: str) -> Member | None:
    """The member of this name."""
    row = session.scalars(select(MemberRow).where(MemberRow.name == name)).one_or_none()
    return None if row is None else _member(row)


def called(session: Session, names: Sequence[str]) -> Iterator[Member]:
    """The members of these names, as far as there are any."""
    for start in range(0, len(names), CHUNK):
        some = MemberRow.name.in_(names[start : start + CHUNK])
        yield from map(_member, session.scalars(select(MemberRow).where(some)))


def listing(session: Session) -> list[Member]:
    """All members, oldest first."""
    return [_member(row) for row in session.scalars(select(MemberRow).order_by(MemberRow.id))]


def enrolled(session: Session, named: Sequence[tuple[str, str]]) -> dict[str, Member]:
    """Those of these names and sources ("": not said); who is new becomes a member.

    Raises:
        ValueError: somebody is known as another source.
    """
    known = {member.name: member for member in called(session, list(dict(named)))}
    new: dict[str, str] = {}
    for name, source in named:
        if name not in known:
            new.setdefault(name, source)
    for name in sorted(new):  # in one order: else two imports could wait for each other
        known[name] = _enrol(session, name, new[name])
    for name, source in named:
        if source and known[name].source and source != known[name].source:
            raise ValueError(
                f"{name!r} is known as source {known[name].source!r}, a label says {source!r}"
            )
    return known


def _enrol(session: Session, name: str, source: str) -> Member:
    """A new member, or the one whom another import enrolled this moment."""
    try:
        return enrol(session, name, source=source)
    except ValueError:
        found = find(session, name)
        if found is None:
            raise
        return found


def _member(row: MemberRow) -> Member:
    return Member(row.id, row.name, cast(Role, row.role), row.source)
