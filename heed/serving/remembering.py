"""Replies on their way into the preference store, and what users say of them.

Replies are written in batches by a thread; feedback of one waits until it is there. A thumb is an
opinion of one reply. A preferred regeneration, and an edit, are labels of an item of two answers,
like everybody else's.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from heed.serving.errors import Refused
from heed.store import annotations as labels
from heed.store import items, projects, replies
from heed.store.database import Store
from heed.store.limits import REWRITE
from heed.store.replies import Found
from heed.types import Annotation, Item, Reply

log = logging.getLogger("heed.serving")

PENDING = 2000
"""Replies that may wait for the store; then answers wait as well."""
PAUSE = 0.05
"""Seconds in which replies are gathered."""
FORGETS_EVERY = 1000
UI = "serve"


@dataclass(frozen=True)
class Said:
    """What a user says of a reply: a thumb, that it is better than another, or a better text."""

    user: str
    reply: tuple[str, int]
    desirable: bool | None = None
    over: tuple[str, int] | None = None
    edit: str | None = None
    comment: str = ""

    @property
    def kind(self) -> str:
        """A word for it."""
        if self.desirable is not None:
            return "thumb"
        return "edit" if self.edit is not None else "preference"


class Memory:
    """Replies and feedback of one project of a store, which is made if it is not there; of the
    replies at least the last `keep` are remembered.
    """

    def __init__(self, store: Store, project: str, keep: int) -> None:
        self.store, self.project, self.keep = store, project, keep
        with store.write() as session:
            found = projects.find(session, project) or projects.create(session, project)
        self.project_id = found.id
        self._pending: list[Reply] = []
        self._writes: asyncio.Task[None] | None = None
        self._came = self._gone = 0
        """Replies that came, and those of them that are no longer on their way."""
        self._kept = asyncio.Event()
        self._since = 0

    async def remember(self, given: Sequence[Reply]) -> None:
        """Have replies written down soon; who brings more than the store takes, waits."""
        new = [each for each in map(_storable, given) if each is not None]
        self._pending += new
        self._came += len(new)
        if self._writes is None or self._writes.done():
            self._writes = asyncio.create_task(self._write())
        while len(self._pending) > PENDING:
            await self._kept.wait()

    async def flush(self) -> None:
        """Wait until all that was given by now is in the store; what comes meanwhile may not be."""
        came = self._came
        while self._gone < came:
            await self._kept.wait()

    async def hear(self, said: Said) -> bool:
        """Put down what a user says; False where the same was said before.

        Raises Refused where the reply is not (or no longer) known, or what is said makes no sense.
        """
        await self.flush()
        try:
            return await asyncio.to_thread(self._put, said)
        except ValueError as error:
            raise Refused(409, "not_taken", f"{error}.") from error

    async def _write(self) -> None:
        await asyncio.sleep(PAUSE)
        while self._pending:
            batch, self._pending = self._pending, []
            try:
                await asyncio.to_thread(self._add, batch)
            except Exception as error:  # the answers were given; only feedback on them is lost
                log.error("%d replies are not remembered: %s", len(batch), type(error).__name__)
            self._gone += len(batch)
            kept, self._kept = self._kept, asyncio.Event()
            kept.set()

    def _add(self, batch: Sequence[Reply]) -> None:
        self._since += len(batch)
        with self.store.write(durable=False) as session:
            replies.add(session, self.project_id, batch)
            if self._since >= FORGETS_EVERY:
                replies.forget(session, self.project_id, self.keep)
                self._since = 0

    def _put(self, said: Said) -> bool:
        with self.store.write() as session:
            found = self._found(session, said.reply)
            if said.desirable is not None:
                member = replies.who_says(session, said.user)
                return replies.say(
                    session, found.id, member.id, desirable=said.desirable, comment=said.comment
                )
            if said.edit is not None:
                return self._edited(session, said, found, said.edit)
            assert said.over is not None, "feedback is one of three"
            return self._preferred(session, said, found, self._found(session, said.over))

    def _found(self, session: Session, reply: tuple[str, int]) -> Found:
        name, place = reply
        found = replies.find(session, self.project_id, name, place)
        if found is None:
            raise Refused(
                404, "reply_not_found",
                f"No reply {name[:100]!r} with a choice {place} is remembered here.", param="id",
            )  # fmt: skip
        return found

    def _preferred(self, session: Session, said: Said, better: Found, worse: Found) -> bool:
        if better.reply.prompt.messages != worse.reply.prompt.messages:
            raise Refused(
                409, "unlike_prompts", "The two replies answer different conversations; only "
                "answers to the same one are compared.", param="over",
            )  # fmt: skip
        if better.reply.text == worse.reply.text:
            raise Refused(409, "equal_answers", "Both replies say the same.", param="over")
        both = sorted((better, worse), key=lambda found: found.id)
        item = Item(
            f"served-{_digest(*(f'{each.reply.name}.{each.reply.place}' for each in both))}",
            better.reply.prompt,
            tuple(each.reply.text for each in both),
            tuple(each.reply.model for each in both),
        )
        ranks = (1, 2) if both[0] is better else (2, 1)
        return self._label(session, said, item, ranks)

    def _edited(self, session: Session, said: Said, found: Found, edit: str) -> bool:
        if edit == found.reply.text:
            raise Refused(409, "equal_answers", "The edit is the answer itself.", param="edit")
        name = f"{found.reply.name}.{found.reply.place}"
        item = Item(
            f"edited-{_digest(name, edit)}", found.reply.prompt, (found.reply.text, edit),
            (found.reply.model, f"edit by {said.user}"),
        )  # fmt: skip
        rewrite = edit if len(edit) <= REWRITE else ""
        return self._label(session, said, item, (2, 1), rewrite)

    def _label(
        self, session: Session, said: Said, item: Item, ranks: tuple[int, int], rewrite: str = ""
    ) -> bool:
        member = replies.who_says(session, said.user)
        items.add(session, self.project_id, [item])
        before = labels.last_of(session, self.project_id, item.id, member.id)
        if before is not None and (before.verdict, before.comment) == (ranks, said.comment):
            return False
        label = Annotation(
            item.id, said.user, ranks, source=replies.SOURCE, rewrite=rewrite,
            revision=0 if before is None else before.revision + 1, comment=said.comment, ui=UI,
        )  # fmt: skip
        labels.add(session, self.project_id, [label])
        return True


def _storable(reply: Reply) -> Reply | None:
    """The reply as databases take it, NUL characters replaced; None where it is too long."""
    messages = tuple(
        replace(turn, content=_without_nul(turn.content)) for turn in reply.prompt.messages
    )
    kept = replace(
        reply,
        text=_without_nul(reply.text),
        prompt=replace(reply.prompt, messages=messages),
        user=_without_nul(reply.user),
    )
    try:
        replies.check(kept)
    except ValueError as error:
        log.warning("a reply is not remembered: %s", error)
        return None
    return kept


def _without_nul(text: str) -> str:
    return text.replace("\x00", "\ufffd")


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "replace")).hexdigest()[:20]
