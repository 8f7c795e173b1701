"""What a member is asked next, and what becomes of the answer.

Nothing here depends on the process: every draw is a function of the project's seed, the member and
how many tasks the member was given, so a restarted server goes on as if nothing had happened.
Each function expects to be the whole of a `Store.write()` transaction, except `progress`, which
reads. Times are aware; `now` is the clock's unless a caller simulates one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from heed.store import drafts, guidelines, items, leases, members, projects, standings
from heed.store.annotations import append, by_key, latest
from heed.store.items import chance
from heed.store.leases import Slot
from heed.store.limits import DRAFT, KEY, checked
from heed.store.projects import Project
from heed.store.standings import Standing
from heed.types import Annotation, Item, Verdict

OPEN_LEASES = 3
"""So many a member may hold: one on the screen, one fetched ahead, one to spare."""
MARGIN = 60.0
"""Seconds an answer may have taken longer than the task was out: clocks differ."""
ANSWERED = "This one is answered already. Undo opens it again."
HANDLE = re.compile("[0-9a-f]{16}")
"""What a lease is called; PostgreSQL takes no NUL, not even to look for one."""
NOBODY = 0
"""No member has this id."""
REPEAT_AFTER = 10
"""A planned repeat comes at least so many answers after the first time."""


class LeaseLost(Exception):  # noqa: N818 - what happened, in the words of the page
    """The task was yours and went to someone else, or is answered already."""


class NotYours(Exception):  # noqa: N818 - what happened, in the words of the page
    """The task was never yours."""


@dataclass(frozen=True, slots=True)
class Task:
    """An item for one member: `order` holds the answers' places in it, left to right.

    `lease` is random, so that it tells nothing of the task's kind.
    `earlier` is the answer that is being corrected after undo, `draft` what was being written.
    """

    lease: str
    item: Item
    order: tuple[int, ...]
    occasion: int
    expires: datetime
    earlier: Annotation | None
    draft: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the member says, in terms of the answers as shown."""

    verdict: Verdict
    seconds: float = 0.0
    rewrite: str = ""
    tags: tuple[str, ...] = ()
    comment: str = ""
    ui: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of the `wanted` labels are in, from everyone; `mine` are the member's, gold items and
    repeats included. `left` is how many items this member can still label; it may be a little too
    high while more than `standings.COUNTED` labels are missing.
    """

    done: int
    left: int
    mine: int
    wanted: int


def next_task(
    session: Session,
    project: Project,
    member_id: int,
    *,
    beside: Sequence[str] = (),
    now: datetime | None = None,
) -> Task | None:
    """The task the member holds already (its lease renewed), or else a new one.

    `beside` names the leases on the member's screen: what is fetched ahead is another one. None
    where nothing is left for this member, or where three tasks are open.
    """
    now = now or datetime.now(UTC)
    standing = standings.lock(session, project.id, member_id)
    held = leases.open_slots(session, project.id, member_id)
    for slot in held:
        if slot.handle not in beside:
            return _task(session, slot, leases.renew(session, project, slot, now))
    if sum(slot.done_at is None for slot in held) >= OPEN_LEASES:
        return None
    taken = _draw(session, project, member_id, standing, now)
    if taken is None:
        return None
    slot, standing = taken
    standings.record(session, project.id, member_id, replace(standing, drawn=standing.drawn + 1))
    assert slot.leased_until is not None
    return _task(session, slot, slot.leased_until)


def submit(
    session: Session,
    project: Project,
    member_id: int,
    lease: str,
    answer: Answer,
    *,
    key: str,
    now: datetime | None = None,
) -> Annotation:
    """Write the answer down. The same `key` again returns the same annotation.

    A lease that ran out is as good as before while nobody else was given the task. It cannot have
    taken longer than the task was out; what is said beyond that is cut off.

    Raises:
        LeaseLost: the task went to someone else, or is answered already.
        NotYours: the member never had it.
        ValueError: the answer does not fit the item, or the key came with another answer before.
    """
    now = now or datetime.now(UTC)
    checked(key, "the idempotency key", KEY, empty=False)
    standing = standings.lock(session, project.id, member_id)
    before = by_key(session, member_id, key)
    if before is not None:
        said = before.annotation
        same = replace(answer, tags=tuple(answer.tags), seconds=said.seconds)
        if (before.handle, _answer(said)) != (lease, same):
            raise ValueError("this idempotency key came with another answer before")
        return said
    slot = _held(session, member_id, lease)
    if slot.leased_until is None:
        raise LeaseLost(ANSWERED)
    if slot.project_id != project.id:
        raise NotYours("This task belongs to another project.")
    answer = replace(answer, seconds=_believed(slot, answer.seconds, now))
    said = append(session, slot, _said(session, slot, answer), key=key, now=now)
    leases.finish(session, slot, answered=standing.said + 1, now=now)
    drafts.forget(session, slot.id, member_id)
    first = slot.done_at is None
    new = replace(
        standing,
        said=standing.said + 1,
        labels=standing.labels + first,
        wanted_done=standing.wanted_done + (first and slot.kind == "wanted"),
    )
    standings.record(session, project.id, member_id, new)
    return said


def undo(
    session: Session, project: Project, member_id: int, now: datetime | None = None
) -> Task | None:
    """Open the member's last answer again; what is submitted then supersedes it.

    Until then the old answer stands. Again, and the answer before that opens too. None where
    nothing was answered.
    """
    now = now or datetime.now(UTC)
    standings.lock(session, project.id, member_id)
    slot = leases.last_answered(session, project.id, member_id)
    if slot is None:
        return None
    return _task(session, slot, leases.renew(session, project, slot, now))


def release(
    session: Session, project: Project, member_id: int, lease: str, now: datetime | None = None
) -> None:
    """Give a task back before its time, so that someone else may have it.

    Raises:
        LeaseLost, NotYours: it is not the member's to give back.
    """
    standings.lock(session, project.id, member_id)
    slot = _held(session, member_id, lease)
    if slot.leased_until is not None:
        leases.give_back(session, slot, now or datetime.now(UTC))


def save_draft(
    session: Session, member_id: int, lease: str, text: str, now: datetime | None = None
) -> None:
    """Keep what the member has written so far (no text deletes it), and the lease with it.

    Raises:
        LeaseLost, NotYours: the task is not, or no longer, the member's.
        ValueError: the text is too long or no good.
    """
    checked(text, "a draft", DRAFT)
    slot = _held(session, member_id, lease)
    if slot.leased_until is None:
        raise LeaseLost(ANSWERED)
    now = now or datetime.now(UTC)
    leases.renew(session, projects.get(session, slot.project_id), slot, now)
    drafts.write(session, slot.id, member_id, text, now)


def progress(
    session: Session, project: Project, member_id: int = NOBODY, now: datetime | None = None
) -> Progress:
    """How far the project and the member are. Reads only; without a member, the project alone."""
    counts = standings.counts(session, project.id, member_id, now or datetime.now(UTC))
    return Progress(counts.done, counts.left, counts.mine, counts.wanted)


def _draw(
    session: Session, project: Project, member_id: int, standing: Standing, now: datetime
) -> tuple[Slot, Standing] | None:
    """A gold item, a repeat, or the next wanted label, as the coins of this turn say; and where
    the member stands then. Where nothing is wanted any more, nobody is asked gold items either.
    """
    settings, turn = project.settings, standing.drawn
    coin = chance(settings.seed, "kind", member_id, turn)
    slot = None
    measured = coin < settings.gold_rate + settings.repeat_rate
    if measured and leases.all_given(session, project, member_id, standing, now):
        return None
    if coin < settings.gold_rate:
        slot = leases.take_gold(session, project, member_id, turn=turn, now=now)
    elif measured:
        up_to = standing.said - REPEAT_AFTER
        slot = leases.take_repeat(session, project, member_id, up_to=up_to, turn=turn, now=now)
    if slot is not None:
        return slot, standing
    by_priority = {
        "random": False,
        "disagreement": True,
        "mixed": chance(settings.seed, "order", member_id, turn) < 0.5,
    }[settings.order]
    return leases.take_wanted(
        session, project, member_id, standing, by_priority=by_priority, now=now
    )


def _believed(slot: Slot, seconds: float, now: datetime) -> float:
    """The time that an answer took, as far as it can have."""
    if slot.drawn_at is None:
        return seconds
    return min(seconds, max(0.0, (now - slot.drawn_at).total_seconds()) + MARGIN)


def _held(session: Session, member_id: int, lease: str) -> Slot:
    """The slot, which is the member's."""
    slot = leases.find(session, lease) if HANDLE.fullmatch(lease) else None
    if slot is not None and slot.member_id == member_id:
        return slot
    if slot is not None and leases.lost(session, slot.id, member_id):
        raise LeaseLost("The time for this one ran out, and it went to someone else.")
    raise NotYours("This task was never yours.")


def _task(session: Session, slot: Slot, expires: datetime) -> Task:
    assert slot.member_id is not None
    earlier = None
    if slot.done_at is not None:
        earlier = latest(session, slot.id)
    draft = drafts.read(session, slot.id, slot.member_id)
    item = items.of_row(session, slot.item_id)
    return Task(slot.handle, item, slot.shown, slot.occasion, expires, earlier, draft)


def _said(session: Session, slot: Slot, answer: Answer) -> Annotation:
    """The answer as a record: who said it, of what, under which guidelines."""
    assert slot.member_id is not None
    member = members.get(session, slot.member_id)
    version = guidelines.latest_version(session, slot.project_id)
    return Annotation(
        slot.item, member.name, answer.verdict, answer.seconds,
        "" if version is None else str(version), member.source, slot.occasion,
        order=slot.shown, rewrite=answer.rewrite, tags=tuple(answer.tags),
        comment=answer.comment, ui=answer.ui,
    )  # fmt: skip


def _answer(said: Annotation) -> Answer:
    return Answer(said.verdict, said.seconds, said.rewrite, said.tags, said.comment, said.ui)
