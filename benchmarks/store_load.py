"""How many labels a second a store takes from many annotators at once, and what each waits.

    python -m benchmarks.store_load [--annotators 1 8 32] [--seconds 5] [--processes 4]
    python -m benchmarks.store_load --places sqlite

Every annotator takes a task and answers it, again and again, without thinking: `next_task` and
`submit` as the labelling page calls them, each its own transaction, the answer synced to disk at
commit. Annotators are threads, divided among at most so many processes, each process with a store
of its own, as servers have; the clock runs while all of them work. `comparisons` are pairs with one
wanted label each. Afterwards every item has at most one label and every acknowledged label is
there, or the exit status is 1. SQLite lets one write at a time; PostgreSQL is the wheel's server,
fsync on, on the same cores.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from benchmarks.label_queue import PLACES, Work, label, prepare
from heed.store import projects
from heed.store.annotations import read_all
from heed.store.database import Store
from heed.store.projects import ProjectSettings


@dataclass(frozen=True)
class Load:
    """So many annotators in so many processes, for so many seconds."""

    annotators: int
    processes: int
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """Seconds of every `next_task` and `submit`, and what the database holds of them."""

    load: Load
    seconds: float
    times: Sequence[tuple[float, float]]
    problems: Sequence[str]

    @property
    def rate(self) -> float:
        return len(self.times) / self.seconds


def run(address: str, load: Load, items: int) -> Outcome:
    """A project of its own, labelled by all annotators at once."""
    store = Store.open(address)
    name = f"load {load.annotators} {time.time_ns()}"
    work = Work(ProjectSettings(per_item=1), load.annotators, load.annotators)
    project, people = prepare(store, name, work, items)
    count = min(load.processes, load.annotators)
    began, times = _all_at_once(address, name, [people[at::count] for at in range(count)], load)
    seconds = time.perf_counter() - began
    with store.read() as session:
        said = read_all(session, project.id)
    store.close()
    problems = []
    if len(said) != len(times):
        problems.append(f"{len(times)} labels acknowledged, {len(said)} in the database")
    if said and max(Counter(each.item for each in said).values()) > 1:
        problems.append("an item was labelled twice")
    if len(times) >= items:
        problems.append(f"all {items} items were labelled before the time was over: give more")
    return Outcome(load, seconds, times, problems)


def _all_at_once(
    address: str, name: str, shares: Sequence[list[int]], load: Load
) -> tuple[float, list[tuple[float, float]]]:
    """When all began, and what each label took."""
    context = multiprocessing.get_context("spawn")
    pipes, workers = [], []
    for share in shares:
        here, there = context.Pipe()
        worker = context.Process(target=_work, args=(there, address, name, share, load.seconds))
        worker.start()
        pipes.append(here)
        workers.append(worker)
    for pipe in pipes:
        pipe.recv()  # everybody has opened the store
    began = time.perf_counter()
    for pipe in pipes:
        pipe.send(None)
    times = [each for pipe in pipes for each in pipe.recv()]
    for worker in workers:
        worker.join()
    return began, times


def _work(pipe: Connection, address: str, name: str, people: list[int], seconds: float) -> None:
    store = Store.open(address)
    with store.read() as session:
        project = projects.find(session, name)
    assert project is not None, f"{name} was made before anybody began"
    pipe.send("ready")
    pipe.recv()
    until, times = time.perf_counter() + seconds, list[tuple[float, float]]()

    def annotate(member: int) -> None:
        turn = 0
        while time.perf_counter() < until:
            taken = label(store, project, member, f"{member} {turn}")
            if taken is None:
                return
            times.append(taken)
            turn += 1

    threads = [threading.Thread(target=annotate, args=(member,)) for member in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    pipe.send(times)


def line(place: str, found: Outcome) -> str:
    """A line of the table."""
    figures: Any = 1000 * np.percentile(np.array(found.times), [50, 99], axis=0)
    (soon, say), (late, said) = figures
    return (
        f"{place:>9}{found.load.annotators:>12}{found.rate:>10.0f}{soon:>10.1f}{late:>8.1f}"
        f"{say:>12.1f}{said:>8.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--annotators", type=int, nargs="*", default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--places", nargs="*", choices=PLACES, default=list(PLACES))
    given = parser.parse_args()
    busy = ", ".join(f"{average:.1f}" for average in os.getloadavg())
    print(f"python -m benchmarks.store_load {' '.join(sys.argv[1:])}")
    print(f"{os.cpu_count()} cores, load averages {busy} before; ms")
    print(f"{'store':>9}{'annotators':>12}{'labels/s':>10}{'next p50':>10}{'p99':>8}"
          f"{'submit p50':>12}{'p99':>8}")  # fmt: skip
    problems: list[str] = []
    for place in given.places:
        with PLACES[place]() as address:
            for annotators in given.annotators:
                load = Load(annotators, given.processes, given.seconds)
                found = run(address, load, given.items)
                problems += found.problems
                print(line(place, found), flush=True)
    print("\n".join(problems) or "every acknowledged label is there, none twice")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
