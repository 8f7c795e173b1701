"""Several servers that share the work: who is asked next, and what becomes of what failed.

A job is in one of three places, and moves between them under one lock: it waits, one server works
on it, or its result is kept. So none is lost, and none is done twice.

A job goes to the server with the fewest under way. One that does not answer is dropped: its jobs
wait again, and it is asked nothing for a pause that doubles with every further failure. It is taken
back by `prepare`, then with one job, and with as many as it may have once that is done. No torch.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from heed.errors import UserError
from heed.sampling.endpoint import Passing, backoff

Job = TypeVar("Job")
Result = TypeVar("Result")

PATIENCE = 300.0
"""Servers that all ask for a longer pause than this are told to the user instead, in seconds."""
DROPPED = 5
"""Failures in a row after which a server that does answer, only not as it should, is dropped."""


@dataclass
class Place:
    """What is known of one server."""

    index: int
    busy: int = 0
    """Jobs under way."""
    failures: int = 0
    """In a row."""
    drops: int = 0
    """How often it was dropped in a row."""
    until: float = 0.0
    """When it may be asked again, by the monotonic clock."""
    era: int = 0
    """How often it was dropped: a failure of an earlier era says nothing of this one."""
    preparing: bool = False
    done: int = 0
    """Jobs that it has done."""


class Fleet:
    """`count` servers, each with up to `concurrency` jobs at a time.

    Args:
        retries: further tries of a job before it is an error, and how often all servers may be
            dropped in a row.
        ready: whether a server may be given jobs; where not, `prepare` is called first.
        prepare: makes a server ready; raises Passing where it cannot now.
        lost: hears of a server that is dropped.
    """

    def __init__(
        self,
        count: int,
        *,
        concurrency: int,
        retries: int,
        ready: Callable[[int], bool] = lambda _: True,
        prepare: Callable[[int], None] = lambda _: None,
        lost: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.places = [Place(index) for index in range(count)]
        self.concurrency = concurrency
        self.retries = retries
        self.ready, self.prepare, self.lost = ready, prepare, lost
        self.changed = threading.Condition()

    def run(
        self,
        jobs: Sequence[Job],
        work: Callable[[Job, int], Result],
        gave_up: Callable[[int, Passing, int], str],
        stopped: threading.Event | None = None,
    ) -> list[Result]:
        """work(job, server) of each, in order; the first error that does not pass ends all.

        `gave_up` says of a server, its last failure and the number of tries what to tell the user;
        `stopped`, once set, ends the threads that work. They are daemons, so that an interrupt need
        not wait for a slow server.

        Raises UserError with these words when the tries of a job, or of all servers, are used up.
        """
        batch = _Batch(self, jobs, work, gave_up, stopped or threading.Event())
        return batch.results()

    def failed(self, place: Place, failure: Passing, era: int) -> None:
        """Remember a failure; called with the lock."""
        now = time.monotonic()
        if failure.wait is not None:
            place.until = max(place.until, now + failure.wait)
        if era != place.era:
            return
        place.failures += 1
        if failure.gone or place.failures >= DROPPED:
            place.until = max(place.until, now + backoff(place.drops))
            place.drops += 1
            place.era += 1
            self.lost(place.index)


@dataclass
class _Batch(Generic[Job, Result]):
    """One call of `run`."""

    fleet: Fleet
    jobs: Sequence[Job]
    work: Callable[[Job, int], Result]
    gave_up: Callable[[int, Passing, int], str]
    stopped: threading.Event
    done: dict[int, Result] = field(default_factory=dict)
    error: BaseException | None = None

    def __post_init__(self) -> None:
        self.waiting = [(0.0, at) for at in range(len(self.jobs))]
        self.tries = [0] * len(self.jobs)

    def results(self) -> list[Result]:
        most = min(len(self.jobs), self.fleet.concurrency * len(self.fleet.places))
        for _ in range(most):
            threading.Thread(target=self._run, daemon=True, name="heed-endpoint").start()
        changed = self.fleet.changed
        try:
            with changed:
                while self.error is None and len(self.done) < len(self.jobs):
                    changed.wait()
        finally:
            self.stopped.set()
            with changed:
                changed.notify_all()
        if self.error is not None:
            raise self.error
        return [self.done[at] for at in range(len(self.jobs))]

    def _run(self) -> None:
        """What every thread does: the next job, or making the next server ready."""
        while (task := self._next()) is not None:
            place, at, era = task
            try:
                if at is None:
                    self.fleet.prepare(place.index)
                    self._settle(place, at, era, None)
                else:
                    self._settle(place, at, era, self.work(self.jobs[at], place.index))
            except Passing as failure:
                self._settle(place, at, era, failure)
            except BaseException as error:
                with self.fleet.changed:
                    self._put_down(place, at)
                    self.error = self.error or error
                    self.fleet.changed.notify_all()
                return

    def _next(self) -> tuple[Place, int | None, int] | None:
        """A job and who shall do it, or who shall be made ready; None when there is no more."""
        changed = self.fleet.changed
        with changed:
            while not self._over():
                now = time.monotonic()
                place = self._unready(now)
                if place is not None:
                    place.preparing = True
                    return place, None, place.era
                due = bool(self.waiting) and self.waiting[0][0] <= now
                place = self._free(now) if due else None
                if place is not None:
                    _, at = heapq.heappop(self.waiting)
                    place.busy += 1
                    return place, at, place.era
                changed.wait(self._pause(now))
        return None

    def _over(self) -> bool:
        return self.stopped.is_set() or self.error is not None or len(self.done) == len(self.jobs)

    def _unready(self, now: float) -> Place | None:
        """A server that has to be made ready, where jobs wait for one."""
        if not self.waiting:
            return None
        for place in self.fleet.places:
            asked = place.until <= now and not place.preparing
            if asked and not self.fleet.ready(place.index):
                return place
        return None

    def _free(self, now: float) -> Place | None:
        """The server with the fewest jobs of those that may be given one more."""
        free = [
            place
            for place in self.fleet.places
            if place.until <= now
            and not place.preparing
            and place.busy < (1 if place.drops else self.fleet.concurrency)
            and self.fleet.ready(place.index)
        ]
        return min(free, key=lambda place: (place.busy, place.done, place.index), default=None)

    def _pause(self, now: float) -> float | None:
        """How long nothing can happen but what others announce."""
        if not self.waiting:
            return None
        times = [place.until for place in self.fleet.places] + [self.waiting[0][0]]
        later = [moment - now for moment in times if moment > now]
        return min(later, default=None)

    def _settle(self, place: Place, at: int | None, era: int, outcome: Any) -> None:
        """Put a job where it belongs now: among the results or back among those that wait."""
        fleet = self.fleet
        with fleet.changed:
            self._put_down(place, at)
            if isinstance(outcome, Passing):
                fleet.failed(place, outcome, era)
                if at is not None:
                    self._again(at, outcome)
                self._give_up(place, at, outcome)
            elif at is not None:
                if era == place.era:
                    place.failures = place.drops = 0
                place.done += 1
                self.done[at] = outcome
            fleet.changed.notify_all()

    def _put_down(self, place: Place, at: int | None) -> None:
        if at is None:
            place.preparing = False
        else:
            place.busy -= 1

    def _again(self, at: int, failure: Passing) -> None:
        """A job waits again: for another server at once, or a while where the fault is its own."""
        self.tries[at] += 1
        others = failure.gone or failure.wait is not None
        due = 0.0 if others else time.monotonic() + backoff(self.tries[at] - 1)
        heapq.heappush(self.waiting, (due, at))

    def _give_up(self, place: Place, at: int | None, failure: Passing) -> None:
        """End all where the tries of a job are used up, or those of every server."""
        places, retries = self.fleet.places, self.fleet.retries
        fewest = min(each.drops for each in places)
        tries = 0 if at is None else self.tries[at]
        late = time.monotonic() + PATIENCE
        hopeless = all(each.until > late for each in places)
        if hopeless or tries > retries or fewest > retries:
            words = self.gave_up(place.index, failure, max(tries, fewest))
            self.error = self.error or UserError(words)
