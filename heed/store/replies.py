"""Replies that a server gave, and opinions of one reply by itself (thumbs). No opinion changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby

from sqlalchemy import delete, exists, insert, select
from sqlalchemy.orm import Session

from heed.store import members, projects
from heed.store.items import Added
from heed.store.limits import ANSWER, CHUNK, COMMENT, ITEM_ID, LABEL, MESSAGE, checked
from heed.store.schema import MemberRow, OpinionRow, ReplyRow
from heed.types import Judged, Message, Opinion, Prompt, Reply

SOURCE = "people"
Word = tuple[bool, str]
"""Whether a reply is desirable, and a comment."""


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


def judged(session: Session, project_id: int) -> list[Judged]:
    """The replies that somebody has an opinion of, with all opinions, in the order they came."""
    statement = (
        select(ReplyRow, MemberRow.name, MemberRow.source, OpinionRow.desirable, OpinionRow.comment)
        .join(OpinionRow, OpinionRow.reply_id == ReplyRow.id)
        .join(MemberRow, MemberRow.id == OpinionRow.member_id)
        .where(ReplyRow.project_id == project_id)
        .order_by(ReplyRow.id, OpinionRow.id)
    )
    found = groupby(session.execute(statement), key=lambda row: row.ReplyRow)
    return [
        Judged(
            _reply(row),
            tuple(Opinion(one.name, one.desirable, one.source, one.comment) for one in said),
        )
        for row, said in found
    ]


def take_in(session: Session, project_id: int, given: Sequence[Judged]) -> Added:
    """Add what another store holds: replies that are not here, and of each annotator the opinions
    that go on from those that are. What is here already changes nothing.

    Raises:
        ValueError: a reply has the name but not the content of one that is here, or is another
            project's; somebody is on record with another opinion; a text is no good.
    """
    projects.lock(session, project_id)
    words = [(one.annotator, one.source) for each in given for one in each.opinions]
    people = members.enrolled(session, words)
    added = known = 0
    for start in range(0, len(given), CHUNK):
        some = given[start : start + CHUNK]
        ids = _taken_in(session, project_id, [each.reply for each in some])
        there = _said_of(session, list(ids.values()))
        now = datetime.now(UTC)
        rows: list[dict[str, object]] = []
        for each in some:
            id = ids[each.reply.name, each.reply.place]
            new = [
                {
                    "reply_id": id, "member_id": people[one.annotator].id,
                    "desirable": one.desirable, "comment": one.comment, "created": now,
                }
                for one in _going_on(each, there.setdefault(id, {}))
            ]  # fmt: skip
            rows += new
            added, known = added + len(new), known + (not new)
        if rows:
            session.execute(insert(OpinionRow), rows)
    return Added(added, known)


def _taken_in(
    session: Session, project_id: int, given: Sequence[Reply]
) -> dict[tuple[str, int], int]:
    """The rows of replies, made where they are not there."""
    now = datetime.now(UTC)
    named = ReplyRow.name.in_({each.name for each in given})
    rows = session.scalars(select(ReplyRow).where(named))
    found = {(row.name, row.place): (row.project_id, _reply(row), row.id) for row in rows}
    fresh: dict[tuple[str, int], Reply] = {}
    for each in given:
        reply = replace(each, prompt=Prompt(each.prompt.id, each.prompt.messages))
        key = reply.name, reply.place
        if key in found:
            owner, there, _ = found[key]
        else:
            owner, there = project_id, fresh.setdefault(key, reply)
        if owner != project_id:
            raise ValueError(f"the reply {reply.name!r} is another project's of this store")
        if there != reply:
            raise ValueError(f"the reply {reply.name!r} is there already, with another content")
    ids = {key: id for key, (_, _, id) in found.items()}
    if fresh:
        made = insert(ReplyRow).returning(ReplyRow.id, sort_by_parameter_order=True)
        values = [_row(project_id, reply, now) for reply in fresh.values()]
        ids |= zip(fresh, session.scalars(made, values), strict=True)
    return ids


def _said_of(session: Session, ids: Sequence[int]) -> dict[int, dict[str, list[Word]]]:
    """What was said of replies, by annotator."""
    found: dict[int, dict[str, list[Word]]] = {}
    statement = (
        select(OpinionRow.reply_id, MemberRow.name, OpinionRow.desirable, OpinionRow.comment)
        .join(MemberRow, MemberRow.id == OpinionRow.member_id)
        .where(OpinionRow.reply_id.in_(ids))
        .order_by(OpinionRow.id)
    )
    for row in session.execute(statement):
        words = found.setdefault(row.reply_id, {}).setdefault(row.name, [])
        words.append((row.desirable, row.comment))
    return found


def _going_on(given: Judged, there: dict[str, list[Word]]) -> Iterator[Opinion]:
    """The opinions that are new, each annotator's behind those that are there."""
    at: Counter[str] = Counter()
    for one in given.opinions:
        checked(one.comment, "a comment", COMMENT)
        said, place = there.setdefault(one.annotator, []), at[one.annotator]
        at[one.annotator] += 1
        if place == len(said):
            said.append((one.desirable, one.comment))
            yield one
        elif said[place] != (one.desirable, one.comment):
            raise ValueError(
                f"{one.annotator!r} is on record with another opinion of {given.reply.name!r}"
            )


def who_says(session: Session, name: str) -> members.Member:
    """The member of that name, enrolled as one of the people where there is none.

    Raises:
        ValueError: the name is another source's, or no good.
    """
    found = members.enrolled(session, [(name, SOURCE)])[name]
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
