"""A crowd of annotators who work as the page does, and remember all that they said.

Like label.js, each one fetches the next task while this one is on screen, names the leases in hand
(`beside`), and sends answers from an outbox, one after the other, under the same key until the
server has said yes or no. Beyond that, as people do: some walk away for longer than a lease lasts
and answer when they are back, and some answers arrive twice.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, Literal

from benchmarks.label_browser import Browser, Refused, Unreachable

FIRST_WAIT, LONGEST_WAIT = 0.4, 8.0
"""Seconds between tries, as in outbox.js."""
LOOK_AGAIN = (1.0, 3.0)
"""Seconds after which someone without a task asks for one, by chance (the page waits 30)."""
AWAY_UNTIL = 0.5
"""Nobody walks away when this share of the labels is in: the rest would only wait for them."""
VERDICTS = (*range(1, 9), "tie", "both_bad", "cannot_tell")


@dataclass
class Said:
    """One answer: what the annotator was shown, what was sent, and what became of it.

    `sent` is when the request left that was acknowledged in the end, `refused` the server's no.
    """

    name: str
    shown: tuple[str, ...]
    body: dict[str, Any]
    sent: datetime | None = None
    refused: str = ""


@dataclass(frozen=True)
class Habits:
    """`pause`: mean seconds over a task (exponential); `away`: the share of tasks over which
    someone leaves for `away_seconds`; `twice`: the share of answers that arrive a second time.
    """

    pause: float = 0.0
    away: float = 0.002
    away_seconds: float = 30.0
    twice: float = 0.01


@dataclass(frozen=True)
class Asked:
    """A request that was answered: when it left and when the answer was there, in seconds."""

    what: Literal["next", "submit"]
    began: float
    ended: float


@dataclass
class Day:
    """What happened to everyone."""

    wanted: int
    said: list[Said] = field(default_factory=list)
    acknowledged: int = 0
    asked: list[Asked] = field(default_factory=list)
    longest_wait: float = 0.0
    retries: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)
    sent_twice: int = 0
    faults: list[str] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    _marks: dict[int, asyncio.Event] = field(default_factory=dict)

    async def reach(self, labels: int) -> None:
        """Return when so many are acknowledged."""
        mark = self._marks.setdefault(labels, asyncio.Event())
        if self.acknowledged < labels:
            await mark.wait()

    def acknowledge(self) -> None:
        self.acknowledged += 1
        if self.acknowledged in self._marks:
            self._marks[self.acknowledged].set()
        if self.acknowledged >= self.wanted:
            self.over.set()


class Annotator:
    """One person, with a browser that has joined."""

    def __init__(self, name: str, browser: Browser, habits: Habits, day: Day, seed: str) -> None:
        self.name, self.browser, self.habits, self.day = name, browser, habits, day
        self.chance = random.Random(seed)
        self.held: set[str] = set()
        self.outbox: asyncio.Queue[Said] = asyncio.Queue()

    async def work(self) -> None:
        """Label until the project has all that it wants."""
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(self._send_all())
            current = await self._wait_for_task()
            while current is not None:
                fetching = tasks.create_task(self._fetch())
                left = await self._consider()
                self._say(current)
                ahead = await fetching
                if left and ahead is not None:  # it waited too long: ask anew
                    self.held.discard(ahead["lease"])
                    ahead = None
                current = ahead or await self._wait_for_task()
            await self.outbox.join()
            sending.cancel()

    async def _consider(self) -> bool:
        """Look at the task; True for having gone away meanwhile."""
        early = self.day.acknowledged < AWAY_UNTIL * self.day.wanted
        if early and self.chance.random() < self.habits.away:
            await asyncio.sleep(self.habits.away_seconds)
            return True
        if self.habits.pause:
            await asyncio.sleep(self.chance.expovariate(1 / self.habits.pause))
        return False

    async def _wait_for_task(self) -> dict[str, Any] | None:
        """The next task; None when there will be no more."""
        while True:
            task = await self._fetch()
            if task is not None:
                return task
            if self.held:  # what is in hand is in the outbox
                await self.outbox.join()
            elif self.day.over.is_set():
                return None
            else:
                await _unless(self.day.over, self.chance.uniform(*LOOK_AGAIN))

    async def _fetch(self) -> dict[str, Any] | None:
        """One more task, its lease then in hand."""
        for failures in count():
            beside = ",".join(map(str, sorted(self.held)))
            began = time.perf_counter()
            try:
                answer = await self.browser.ask("GET", f"/api/next?beside={beside}")
            except Unreachable as error:
                self.day.retries["next"] += 1
                await asyncio.sleep(max(error.wait, _backoff(failures)))
                continue
            except Refused as error:
                self.day.faults.append(f"{self.name} was refused a task: {error}")
                return None
            self.day.asked.append(Asked("next", began, time.perf_counter()))
            task: dict[str, Any] | None = answer["task"]
            if task is None or task["lease"] in self.held:
                return None
            self.held.add(task["lease"])
            return task
        raise AssertionError

    def _say(self, task: dict[str, Any]) -> None:
        """Make up one's mind; the outbox does the rest."""
        key = secrets.token_hex(16)
        body = {
            "lease": task["lease"], "key": key, "verdict": self.chance.choice(VERDICTS),
            "seconds": round(self.chance.uniform(1, 60), 1), "rewrite": "",
            "tags": self.chance.choice([[], ["rude"], ["too long", "off topic"]]),
            "comment": f"As {key[:8]} says." if self.chance.random() < 0.1 else "", "ui": "load/1",
        }  # fmt: skip
        said = Said(self.name, tuple(task["texts"]), body)
        self.day.said.append(said)
        self.outbox.put_nowait(said)

    async def _send_all(self) -> None:
        while True:
            said = await self.outbox.get()
            try:
                await self._send(said)
            except Refused as error:
                said.refused = error.error
                if error.status != 409:
                    self.day.faults.append(f"{self.name}'s answer was refused: {error}")
            finally:
                self.held.discard(said.body["lease"])
                self.outbox.task_done()

    async def _send(self, said: Said) -> None:
        """Send it until the server has said that it has it."""
        first = time.perf_counter()
        for failures in count():
            began, sent = time.perf_counter(), datetime.now(UTC)
            try:
                saved = await self.browser.ask("POST", "/api/answers", said.body)
            except Unreachable as error:
                self.day.retries["submit"] += 1
                await asyncio.sleep(max(error.wait, _backoff(failures)))
                continue
            self.day.asked.append(Asked("submit", began, time.perf_counter()))
            break
        said.sent = sent
        self.day.longest_wait = max(self.day.longest_wait, time.perf_counter() - first)
        self.day.acknowledge()
        if self.chance.random() < self.habits.twice:
            await self._send_again(said, saved["saved"])

    async def _send_again(self, said: Said, saved: dict[str, Any]) -> None:
        """As if the reply had been lost on the way: the same must come back."""
        self.day.sent_twice += 1
        try:
            again = await self.browser.ask("POST", "/api/answers", said.body)
        except Unreachable:
            return
        except Refused as error:
            self.day.faults.append(f"{self.name} was refused the same key: {error}")
            return
        if again["saved"] != saved:
            self.day.faults.append(f"{self.name} got another reply to the same key: {again}")


async def all_work(annotators: Sequence[Annotator]) -> None:
    """Everybody works until it is over."""
    async with asyncio.TaskGroup() as group:
        for annotator in annotators:
            group.create_task(annotator.work())


def _backoff(failures: int) -> float:
    return float(min(LONGEST_WAIT, FIRST_WAIT * 2.0**failures))


async def _unless(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
