"""Who may come in: invitations with single-use tokens, and the sessions they become.

A token is 256 random bits; the store keeps its SHA-256 alone, so whoever reads the database cannot
enter with what is found there.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from heed.store import members
from heed.store.limits import NAME, checked
from heed.store.members import Member, Role
from heed.store.schema import InviteRow, LoginRow, MemberRow

SESSION_DAYS = 30


class InviteRefused(ValueError):  # noqa: N818 - what happened, in the words of the page
    """The invitation is unknown, used, revoked or too old."""


@dataclass(frozen=True, slots=True)
class Invite:
    """An invitation as the owner sees it; `used_by` is the member it let in."""

    id: int
    role: Role
    name: str
    created: datetime
    expires: datetime
    used_by: str | None
    revoked: bool


@dataclass(frozen=True, slots=True)
class Login:
    """Who a session belongs to, and the token its forms must carry."""

    member: Member
    csrf: str


def invite(
    session: Session, role: Role, *, name: str = "", days: float = 7, now: datetime | None = None
) -> str:
    """A token that lets one person in, once.

    `name` says whom it is for: a new member is enrolled at once, so that nobody else can take the
    name before; an invitation for a member's name lets that member in again, on another device.
    Without it, whoever redeems it chooses a name.

    Raises:
        ValueError: no such role, a bad name, a member of another role or no person, or no positive
            number of days.
    """
    if role not in members.ROLES:
        raise ValueError(f"a role is one of {members.ROLES}, got {role!r}")
    if not 0 < days <= 3650:
        raise ValueError(f"an invitation is good for some days, got {days}")
    if checked(name, "a member's name", NAME):
        known = members.find(session, name) or members.enrol(session, name, role)
        if (known.role, known.source) != (role, "people"):
            raise ValueError(f"{name!r} is a member already, as {known.source} ({known.role})")
    now = now or datetime.now(UTC)
    token = secrets.token_urlsafe(32)
    session.execute(
        insert(InviteRow).values(
            digest=_digest(token),
            role=role,
            name=name,
            created=now,
            expires=now + timedelta(days=days),
        )
    )
    return token


def pending(session: Session, token: str, now: datetime | None = None) -> Invite:
    """The invitation behind a token, as long as it can be redeemed.

    Raises:
        InviteRefused: it cannot.
    """
    statement = select(InviteRow).where(InviteRow.digest == _digest(token))
    return _usable(session.scalars(statement).one_or_none(), now or datetime.now(UTC))


def redeem(
    session: Session, token: str, name: str, *, now: datetime | None = None
) -> tuple[Member, str]:
    """Turn an invitation into a member and a session; returns the session's token.

    Raises:
        InviteRefused: the invitation is unknown, used, revoked or too old.
        ValueError: the name is taken or no good; the invitation stays good.
    """
    now = now or datetime.now(UTC)
    statement = select(InviteRow).where(InviteRow.digest == _digest(token)).with_for_update()
    found = _usable(session.scalars(statement).one_or_none(), now)
    member = members.find(session, found.name) if found.name else None
    if member is None:
        member = members.enrol(session, name.strip(), found.role)
    session.execute(
        update(InviteRow).where(InviteRow.id == found.id).values(used=now, member_id=member.id)
    )
    return member, log_in(session, member.id, now=now)


def log_in(session: Session, member_id: int, *, now: datetime | None = None) -> str:
    """A new session of a member; returns its token."""
    now = now or datetime.now(UTC)
    token = secrets.token_urlsafe(32)
    session.execute(delete(LoginRow).where(LoginRow.expires <= now))
    session.execute(
        insert(LoginRow).values(
            digest=_digest(token),
            member_id=member_id,
            created=now,
            expires=now + timedelta(days=SESSION_DAYS),
        )
    )
    return token


def member_of(session: Session, session_token: str, now: datetime | None = None) -> Login | None:
    """Whose session this is; None for a token that is forged, logged out or too old."""
    row = session.execute(
        select(MemberRow.id, MemberRow.name, MemberRow.role, MemberRow.source)
        .join(LoginRow, LoginRow.member_id == MemberRow.id)
        .where(
            LoginRow.digest == _digest(session_token),
            LoginRow.expires > (now or datetime.now(UTC)),
        )
    ).one_or_none()
    if row is None:
        return None
    csrf = hmac.new(_bytes(session_token), b"csrf", hashlib.sha256).hexdigest()
    return Login(Member(row.id, row.name, row.role, row.source), csrf)


def log_out(session: Session, session_token: str) -> None:
    """End a session."""
    session.execute(delete(LoginRow).where(LoginRow.digest == _digest(session_token)))


def log_out_member(session: Session, member_id: int) -> None:
    """End every session of a member."""
    session.execute(delete(LoginRow).where(LoginRow.member_id == member_id))


def revoke_invite(session: Session, invite_id: int, *, now: datetime | None = None) -> bool:
    """Withdraw an invitation; False where it was used or withdrawn already, or never was."""
    revoked = session.scalars(
        update(InviteRow)
        .where(InviteRow.id == invite_id, InviteRow.used.is_(None), InviteRow.revoked.is_(None))
        .values(revoked=now or datetime.now(UTC))
        .returning(InviteRow.id)
    )
    return revoked.one_or_none() is not None


def invites(session: Session) -> list[Invite]:
    """Every invitation, newest first."""
    rows = session.execute(
        select(InviteRow, MemberRow.name)
        .outerjoin(MemberRow, MemberRow.id == InviteRow.member_id)
        .order_by(InviteRow.id.desc())
    )
    return [_invite(row, used_by) for row, used_by in rows]


def _usable(row: InviteRow | None, now: datetime) -> Invite:
    if row is None:
        raise InviteRefused("There is no such invitation. Ask for a new link.")
    if row.used is not None:
        raise InviteRefused("This invitation was used already. Ask for a new link.")
    if row.revoked is not None:
        raise InviteRefused("This invitation was withdrawn. Ask for a new link.")
    if row.expires <= now:
        raise InviteRefused("This invitation has expired. Ask for a new link.")
    return _invite(row, None)


def _invite(row: InviteRow, used_by: str | None) -> Invite:
    return Invite(
        row.id,
        row.role,  # type: ignore[arg-type]
        row.name,
        row.created,
        row.expires,
        used_by,
        row.revoked is not None,
    )


def _bytes(token: str) -> bytes:
    """Whatever a visitor sent, also half a surrogate pair."""
    return token.encode("utf-8", "surrogatepass")


def _digest(token: str) -> str:
    return hashlib.sha256(_bytes(token)).hexdigest()
