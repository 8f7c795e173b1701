"""A hundred annotators label at once while the server is killed; how fast, and is anything lost?

    python -m benchmarks.label_load [--annotators 100] [--labels 10000] [--kills 3] [--pause 0]
    python -m benchmarks.label_load --url postgresql://heed@localhost/heed

`heed label` runs as a process of its own, with accounts; the annotators are asyncio clients of
this process on loopback (`label_browser`, `label_crowd`): each redeems an invitation, opens the
page, and labels until every item has its labels. On the way, at counts drawn by the seed, the
server is killed with -9 and started again. At the end the database is held against what was
acknowledged (`label_checks`). The exit status is 1 if anything is wrong.

Without --pause nobody thinks: the rate is what the server can do, and the times are those of 200
requests that wait for each other. With it, the times are what people would feel.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.label_browser import Browser
from benchmarks.label_checks import Account, account
from benchmarks.label_crowd import Annotator, Asked, Day, Habits, all_work
from benchmarks.label_queue import PER_ITEM, PLACES
from benchmarks.label_site import Server, Site, prepare

EARLIEST, LATEST = 0.05, 0.9
"""The share of the labels that is in at the first kill at least, at the last one at most."""
AWAY = 1.5
"""Who goes away stays for so many leases."""
SHOWN = 10


@dataclass(frozen=True)
class Load:
    """How many do how much. The labels are rounded up to whole items."""

    annotators: int = 100
    labels: int = 10_000
    kills: int = 3
    pause: float = 0.0
    lease_seconds: int = 30
    seed: int = 0

    @property
    def items(self) -> int:
        return math.ceil(self.labels / PER_ITEM)

    def kill_at(self) -> list[int]:
        """The counts of acknowledged labels at which the server is killed."""
        wanted = self.items * PER_ITEM
        span = range(int(EARLIEST * wanted), int(LATEST * wanted))
        return sorted(random.Random(self.seed).sample(span, self.kills))

    def habits(self) -> Habits:
        return Habits(pause=self.pause, away_seconds=AWAY * self.lease_seconds)


@dataclass(frozen=True)
class Outcome:
    """A day, how long it took (everyone's coming in, and the labelling), and what is in the
    database. `missing`: parts of pages that the server did not give.
    """

    site: Site
    day: Day
    came_in: float
    seconds: float
    missing: int
    server: Server
    account: Account


def run(place: str, load: Load, log: Path) -> Outcome:
    """A day of labelling at `place`; the server writes to `log`."""
    site = prepare(
        place, items_=load.items, per_item=PER_ITEM, annotators=load.annotators,
        lease_seconds=load.lease_seconds,
    )  # fmt: skip
    server = Server(site, log)
    day = Day(site.wanted)
    try:
        came_in, missing, seconds = asyncio.run(_work(site, server, day, load))
    finally:
        server.stop()
    day.faults += [f"the server said: {line}" for line in server.complaints()]
    return Outcome(site, day, came_in, seconds, missing, server, account(site, day))


async def _work(site: Site, server: Server, day: Day, load: Load) -> tuple[float, int, float]:
    await server.start()
    browsers = {name: Browser("127.0.0.1", server.port, day.troubles) for name in site.invitations}
    began = time.perf_counter()
    missing = sum(
        await asyncio.gather(*(_come_in(browser, site, name) for name, browser in browsers.items()))
    )
    labelling = time.perf_counter()
    crowd = [
        Annotator(name, browser, load.habits(), day, f"{load.seed} {at}")
        for at, (name, browser) in enumerate(browsers.items())
    ]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_kill(server, day, load.kill_at()))
        tasks.create_task(all_work(crowd))
    for browser in browsers.values():
        browser.close()
    return labelling - began, missing, time.perf_counter() - labelling


async def _come_in(browser: Browser, site: Site, name: str) -> int:
    return await browser.load(await browser.join(site.invitations[name], name))


async def _kill(server: Server, day: Day, at: Sequence[int]) -> None:
    for labels in at:
        await day.reach(labels)
        await server.kill_and_start()


def report(kind: str, outcome: Outcome, load: Load) -> str:
    """The figures of one database."""
    day, site, server = outcome.day, outcome.site, outcome.server
    down = [until - since for since, until in server.down]
    up = outcome.seconds - sum(down)
    refused = sum(bool(said.refused) for said in day.said)
    lines = [
        f"{kind}: {site.wanted:,} labels of {site.items:,} items, {site.per_item} an item, by "
        f"{load.annotators} annotators in {outcome.seconds:.1f} s",
        f"  {day.acknowledged / outcome.seconds:.0f} labels/s, {day.acknowledged / up:.0f} while "
        f"the server was up; it took {1000 * server.busy / day.acknowledged:.1f} ms of processor "
        f"time a label",
        f"  {'ms':<26}{'requests':>9}{'median':>9}{'p95':>9}{'p99':>9}{'max':>9}",
        *_times(day, server),
        f"  killed at {load.kill_at()} labels; down {[round(each, 1) for each in down]} s; "
        f"longest wait for an acknowledgement {day.longest_wait:.1f} s",
        f"  retries: {day.retries['submit']:,} submit, {day.retries['next']:,} next; sent twice on "
        f"purpose {day.sent_twice:,}; found saved when tried again {outcome.account.repeated:,}; "
        f"lost leases (409) {refused:,}",
        f"  troubles: {dict(day.troubles.most_common()) or 'none'}",
        f"  everybody came in and opened the page in {outcome.came_in:.1f} s, "
        f"{outcome.missing} parts of pages refused",
        f"  in the database: {outcome.account.labels:,} labels, "
        f"{outcome.account.in_order:.1%} with the answers in the item's own order",
    ]
    problems = outcome.account.problems
    lines += [f"  WRONG: {problem}" for problem in problems[:SHOWN]]
    lines.append(f"  {len(problems)} problems" if problems else "  nothing is wrong")
    return "\n".join(lines)


def _times(day: Day, server: Server) -> Iterator[str]:
    """A row each: requests while the server was up throughout, and those that met a kill."""
    for met in (False, True):
        for what in ("submit", "next"):
            seconds = [
                each.ended - each.began
                for each in day.asked
                if each.what == what and met == _meets(each, server)
            ]
            if seconds:
                figures = 1000 * np.percentile(np.array(seconds), [50, 95, 99, 100])
                name = f"{what}, server killed" if met else what
                columns = "".join(f"{figure:>9.0f}" for figure in figures)
                yield f"  {name:<26}{len(seconds):>9,}{columns}"


def _meets(asked: Asked, server: Server) -> bool:
    return any(asked.began < until and since < asked.ended for since, until in server.down)


def machine() -> str:
    """What it ran on, and how busy that was."""
    load = ", ".join(f"{average:.1f}" for average in os.getloadavg())
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{system}, {os.cpu_count()} cores, load averages {load}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    normal = Load()
    parser.add_argument("--annotators", type=int, default=normal.annotators)
    parser.add_argument("--labels", type=int, default=normal.labels)
    parser.add_argument("--kills", type=int, default=normal.kills)
    parser.add_argument("--pause", type=float, default=normal.pause, help="mean seconds a task")
    parser.add_argument("--lease", type=int, default=normal.lease_seconds, help="seconds")
    parser.add_argument("--seed", type=int, default=normal.seed)
    parser.add_argument("--places", nargs="*", choices=PLACES, default=list(PLACES))
    parser.add_argument("--url", help="a store to use, instead of the places")
    given = parser.parse_args()
    load = Load(
        given.annotators, given.labels, given.kills, given.pause, given.lease, given.seed
    )  # fmt: skip
    where: dict[str, AbstractContextManager[str]] = {
        place: PLACES[place]() for place in given.places
    }
    if given.url:
        where = {"url": nullcontext(given.url)}
    print(f"python -m benchmarks.label_load {' '.join(sys.argv[1:])}\n{machine()}")
    wrong = 0
    for kind, opened in where.items():
        with opened as place, tempfile.TemporaryDirectory() as folder:
            outcome = run(place, load, Path(folder) / "server.log")
        wrong += len(outcome.account.problems)
        print(f"\n{report(kind, outcome, load)}\n{machine()}", flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
