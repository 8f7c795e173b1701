"""The queue under random orders of events, many threads and many processes: nobody is asked
twice, no item is labelled too often, and every acknowledged label is there once.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from databases import address
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from labelling import project

from heed.feedback import queue
from heed.feedback.queue import Answer, LeaseLost, NotYours, Task
from heed.store import items, projects
from heed.store.annotations import add, read_all
from heed.store.database import Store
from heed.store.projects import Project, ProjectSettings
from heed.types import Annotation

START = datetime(2030, 1, 1, tzinfo=UTC)
STEPS = ("next", "submit", "wait", "undo", "retry", "release", "ahead", "draft", "late")
PEOPLE = ("a", "b", "c", "d")


@dataclass
class Desk:
    """What one member's browser knows."""

    person: int
    held: list[Task] = field(default_factory=list)
    seen: list[Task] = field(default_factory=list)
    sent: list[tuple[int, str, int, Annotation]] = field(default_factory=list)


@dataclass
class World:
    """A project under test, a clock, and everything that was acknowledged."""

    store: Store
    made: Project
    desks: list[Desk]
    now: datetime = START
    keys: int = 0

    def next(self, desk: Desk, beside: bool = False) -> None:
        leases = [task.lease for task in desk.held] if beside else []
        with self.store.write() as session:
            task = queue.next_task(session, self.made, desk.person, beside=leases, now=self.now)
        if task is not None and task.lease not in {held.lease for held in desk.held}:
            desk.held.append(task)
            desk.seen.append(task)

    def send(self, desk: Desk, task: Task, grade: int) -> None:
        self.keys += 1
        key = f"key {self.keys}"
        desk.held = [held for held in desk.held if held.lease != task.lease]
        try:
            with self.store.write() as session:
                said = queue.submit(
                    session, self.made, desk.person, task.lease, Answer(grade), key=key,
                    now=self.now,
                )  # fmt: skip
        except LeaseLost:
            return
        desk.sent.append((task.lease, key, grade, said))

    def step(self, who: int, what: str, number: int) -> None:
        desk = self.desks[who]
        grade = 1 + number % 8
        if what == "next":
            self.next(desk)
        elif what == "ahead":
            self.next(desk, beside=True)
        elif what == "wait":
            self.now += timedelta(seconds=number * 30)
        elif what == "submit" and desk.held:
            self.send(desk, desk.held[number % len(desk.held)], grade)
        elif what == "late" and desk.seen:
            self.send(desk, desk.seen[number % len(desk.seen)], grade)
        elif what == "retry" and desk.sent:
            lease, key, same, said = desk.sent[number % len(desk.sent)]
            with self.store.write() as session:
                again = queue.submit(
                    session, self.made, desk.person, lease, Answer(same), key=key, now=self.now
                )
            assert again == said
        elif what == "undo":
            with self.store.write() as session:
                task = queue.undo(session, self.made, desk.person, self.now)
            if task is not None:
                desk.held.append(task)
        elif desk.held and what in ("release", "draft"):
            self.let(desk, desk.held[number % len(desk.held)], what)

    def let(self, desk: Desk, task: Task, what: str) -> None:
        try:
            with self.store.write() as session:
                if what == "release":
                    queue.release(session, self.made, desk.person, task.lease, self.now)
                else:
                    queue.save_draft(session, desk.person, task.lease, "text", self.now)
        except (LeaseLost, NotYours):
            return

    def check(self) -> None:
        with self.store.read() as session:
            history = read_all(session, self.made.id, history=True)
            newest = read_all(session, self.made.id)
            gold = {each.id for each in items.read_all(session, self.made.id) if each.known}
            progress = queue.progress(session, self.made, self.desks[0].person, self.now)
        acknowledged = [said for desk in self.desks for *_, said in desk.sent]
        assert Counter(acknowledged) == Counter(history)
        keys = [(each.item, each.annotator, each.occasion) for each in newest]
        assert len(set(keys)) == len(keys)
        often = Counter(item for item, _, occasion in keys if not occasion)
        wanted = {item: count for item, count in often.items() if item not in gold}
        assert max(wanted.values(), default=0) <= self.made.settings.per_item
        assert progress.done == sum(wanted.values())
        assert 0 <= progress.left <= progress.wanted

    def finish(self) -> None:
        """Everyone works until nothing is left: then no item lacks a label that it can get."""
        for desk in self.desks:
            desk.held = []
        self.now += timedelta(days=1)
        busy = True
        while busy:
            busy = False
            for desk in self.desks:
                before = len(desk.held)
                self.next(desk)
                if len(desk.held) > before:
                    busy = True
                    self.send(desk, desk.held[-1], 3)
        self.check()
        with self.store.read() as session:
            progress = queue.progress(session, self.made, self.desks[0].person, self.now)
        assert (progress.done, progress.left) == (progress.wanted, 0)


@pytest.fixture
def worlds(store: Store) -> Iterator[Any]:
    """Makes a world with a project and people of its own in the one store."""
    count = 0

    def make(per_item: int, **rates: Any) -> World:
        nonlocal count
        count += 1
        people = tuple(f"{count} {name}" for name in PEOPLE)
        made, ids = project(
            store, 5, gold=2, people=people, name=f"project {count}", per_item=per_item,
            lease_seconds=100, **rates,
        )  # fmt: skip
        return World(store, made, [Desk(person) for person in ids])

    return make


steps = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(STEPS), st.integers(0, 7)), max_size=60
)


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(script=steps, per_item=st.integers(1, 3), order=st.sampled_from(["random", "mixed"]))
def test_any_order_of_events(worlds: Any, script: Any, per_item: int, order: str) -> None:
    world = worlds(per_item, gold_rate=0.15, repeat_rate=0.15, order=order)
    for who, what, number in script:
        world.step(who, what, number)
    world.check()
    world.finish()


def check_all(store: Store, made: Project, acknowledged: list[str], labels: int) -> None:
    """Every acknowledged label once, and exactly as many as were wanted."""
    with store.read() as session:
        said = read_all(session, made.id, history=True)
    found = [f"{each.item} {each.annotator}" for each in said]
    assert sorted(found) == sorted(acknowledged)
    assert len(set(found)) == len(found) == labels
    often = Counter(each.item for each in said)
    assert set(often.values()) == {made.settings.per_item}


def test_many_threads(store: Store) -> None:
    made, people = project(
        store, 12, people=[f"p{at}" for at in range(8)], per_item=3, lease_seconds=600
    )
    acknowledged: list[str] = []
    errors: list[BaseException] = []

    def work(person: int) -> None:
        try:
            while True:
                with store.write(durable=False) as session:
                    task = queue.next_task(session, made, person)
                if task is None:
                    return
                for _ in range(2):  # a page that retries although the first answer arrived
                    with store.write() as session:
                        said = queue.submit(
                            session, made, person, task.lease, Answer(3), key=f"{task.lease}"
                        )
                acknowledged.append(f"{said.item} {said.annotator}")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    check_all(store, made, acknowledged, 36)


def test_people_label_while_the_owner_works(store: Store) -> None:
    """Imports, priorities and settings change meanwhile: nobody waits for each other for ever."""
    made, people = project(
        store, 15, people=[f"p{at}" for at in range(4)], per_item=3, order="mixed"
    )
    errors: list[BaseException] = []

    def work(person: int) -> None:
        try:
            while True:
                with store.write() as session:
                    task = queue.next_task(session, made, person)
                if task is None:
                    return
                with store.write() as session:
                    queue.submit(session, made, person, task.lease, Answer(3), key=str(task.lease))
        except LeaseLost:
            work(person)  # an import brought this very label
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for at in range(15):
        name = f"item {at}"
        with store.write() as session:
            items.set_priorities(session, made.id, {f"item {n}": float(n * at) for n in range(15)})
        with store.write() as session:
            said = [Annotation(name, who, 5, source="people") for who in ("x", "y")]
            add(session, made.id, said)
        with store.write() as session:
            more = ProjectSettings(per_item=3 + at % 2, order="mixed")
            projects.change(session, made.id, more)
    for thread in threads:
        thread.join()
    assert errors == []
    with store.read() as session:
        said = read_all(session, made.id, history=True)
    assert len({(each.item, each.annotator) for each in said}) == len(said)
    assert {each.item for each in said if each.annotator == "x"} == {f"item {n}" for n in range(15)}


WORKER = """
import json, sys
from heed.feedback import queue
from heed.store import projects
from heed.store.database import Store
place, people = sys.argv[1], json.loads(sys.argv[2])
store = Store.open(place)
with store.read() as session:
    made = projects.find(session, "tea")
turn = 0
while people:
    person = people[turn % len(people)]
    turn += 1
    with store.write(durable=False) as session:
        task = queue.next_task(session, made, person)
    if task is None:
        people.remove(person)
        continue
    with store.write() as session:
        said = queue.submit(
            session, made, person, task.lease, queue.Answer(3), key=str(task.lease)
        )
    print(f"{said.item} {said.annotator}", flush=True)
store.close()
"""


def test_many_processes_one_of_them_killed(kind: str, tmp_path: Path) -> None:
    """Four processes label; one is killed on the way. What it acknowledged is there."""
    place = address(kind, tmp_path)
    store = Store.open(place)
    made, people = project(store, 10, people=[f"p{at}" for at in range(8)], per_item=3)
    shares = [people[at::4] for at in range(4)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, place, json.dumps(share)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for share in shares
    ]  # fmt: skip
    killed = processes[0]
    assert killed.stdout is not None
    first = killed.stdout.readline()
    killed.kill()
    said: list[str] = first.splitlines()
    for process in processes:
        out, error = process.communicate(timeout=100)
        said += out.splitlines()
        assert process is killed or process.returncode == 0, error
    # The killed process may have had its last label written, and not said so.
    with store.read() as session:
        there = [f"{each.item} {each.annotator}" for each in read_all(session, made.id)]
    assert not Counter(said) - Counter(there)
    assert len(set(there)) == len(there) <= len(said) + 1
    later = datetime.now(UTC) + timedelta(hours=1)
    for person in people:
        with store.write() as session:
            while (task := queue.next_task(session, made, person, now=later)) is not None:
                queue.submit(
                    session, made, person, task.lease, Answer(3), key=f"l{task.lease}", now=later
                )
    with store.read() as session:
        there = [f"{each.item} {each.annotator}" for each in read_all(session, made.id)]
        assert projects.get(session, made.id) == made
    check_all(store, made, there, 30)
    store.close()
