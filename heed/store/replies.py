"""Replies that a server gave, and opinions of one reply by itself (thumbs). No opinion changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, exists, insert, select
from sqlalchemy.orm import Session

from heed.store import members
from heed.store.limits import ANSWER, COMMENT, ITEM_ID, LABEL, MESSAGE, checked
from heed.store.schema import MemberRow, OpinionRow, ReplyRow
from heed.types import Message, Prompt, Unpaired

SOURCE = "people"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that was given: the `place`-th of the response `name`, to whom it was given
    (`user`, if the client said), and by which model.
    """

    name: str
    place: int
    prompt: Prompt
    text: str
    model: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A reply as it stands in the store; ids grow in the order in which replies came."""

    id: int
    reply: Reply


def add(session: Session, project_id: int, replies: Sequence[Reply]) -> None:
    """Remember replies.

    Raises:
        ValueError: one is too long, or holds text that no database takes.
    """
    now = datetime.now(UTC)
    if replies:
        rows = [_row(project_id, reply, now) for reply in replies]
        session.execute(insert(ReplyRow), rows)


def check(reply: Reply) -> None:
    """Raise ValueError where the store would not take a reply."""
    checked(reply.name, "a reply's name", ITEM_ID, empty=False)
    checked(reply.text, "an answer", ANSWER)
    checked(reply.model, "a model's name", LABEL)
    checked(reply.user, "a user", LABEL)
    for message in reply.prompt.messages:
        checked(message.content, "a message", MESSAGE)


def find(session: Session, project_id: int, name: str, place: int) -> Found | None:
    """The reply of that name and place, while it is remembered."""
    row = session.scalars(
        select(ReplyRow).where(
            ReplyRow.project_id == project_id, ReplyRow.name == name, ReplyRow.place == place
        )
    ).one_or_none()
    return None if row is None else Found(row.id, _reply(row))


def forget(session: Session, project_id: int, keep: int) -> None:
    """Forget all but the last `keep` replies, and those of which somebody has an opinion."""
    last = (
        select(ReplyRow.id)
        .where(ReplyRow.project_id == project_id)
        .order_by(ReplyRow.id.desc())
        .offset(keep)
        .limit(1)
    )
    oldest = session.scalar(last)
    if oldest is not None:
        spoken_of = exists().where(OpinionRow.reply_id == ReplyRow.id)
        session.execute(
            delete(ReplyRow).where(
                ReplyRow.project_id == project_id, ReplyRow.id <= oldest, ~spoken_of
            )
        )


def say(
    session: Session, reply_id: int, member_id: int, *, desirable: bool, comment: str = ""
) -> bool:
    """Add somebody's opinion of a reply; False where it is their present one already."""
    checked(comment, "a comment", COMMENT)
    newest = (
        select(OpinionRow)
        .where(OpinionRow.reply_id == reply_id, OpinionRow.member_id == member_id)
        .order_by(OpinionRow.id.desc())
        .limit(1)
    )
    there = session.scalars(newest).one_or_none()
    if there is not None and (there.desirable, there.comment) == (desirable, comment):
        return False
    row = {"reply_id": reply_id, "member_id": member_id, "desirable": desirable}
    session.execute(insert(OpinionRow).values(**row, comment=comment, created=datetime.now(UTC)))
    return True


def opinions(session: Session, project_id: int) -> list[Unpaired]:
    """What everybody's last opinion of each reply makes of it, in the order of the replies."""
    statement = (
        select(ReplyRow, OpinionRow.desirable, MemberRow.id, MemberRow.name, MemberRow.source)
        .join(OpinionRow, OpinionRow.reply_id == ReplyRow.id)
        .join(MemberRow, MemberRow.id == OpinionRow.member_id)
        .where(ReplyRow.project_id == project_id)
        .order_by(ReplyRow.id, OpinionRow.id)
    )
    newest: dict[tuple[int, int], Unpaired] = {}
    for row, desirable, member, name, source in session.execute(statement):
        reply = _reply(row)
        newest[row.id, member] = Unpaired(
            reply.prompt, reply.text, desirable, annotator=name, source=source
        )
    return list(newest.values())


def who_says(session: Session, name: str) -> members.Member:
    """The member of that name, enrolled as one of the people where there is none.

    Raises:
        ValueError: the name is another source's, or no good.
    """
    found = members.find(session, name) or members.enrol(session, name, source=SOURCE)
    if found.source != SOURCE:
        raise ValueError(f"{name!r} is known as source {found.source!r}; give another name")
    return found


def _row(project_id: int, reply: Reply, now: datetime) -> dict[str, object]:
    check(reply)
    return {
        "project_id": project_id, "name": reply.name, "place": reply.place,
        "prompt": reply.prompt.id,
        "messages": [[turn.role, turn.content] for turn in reply.prompt.messages],
        "body": reply.text, "model": reply.model, "user": reply.user, "created": now,
    }  # fmt: skip


def _reply(row: ReplyRow) -> Reply:
    messages = tuple(Message(role, content) for role, content in row.messages)
    return Reply(row.name, row.place, Prompt(row.prompt, messages), row.body, row.model, row.user)
