"""People on a host of their own who label over the page's address, until all is labelled.

    python tests/far_annotators.py HOST PORT WANTED OUT < invitations

They are `benchmarks.label_crowd`'s: each keeps its answers until the server has said yes or no, and
sends them again under the same key. What they said and what they were told is written to OUT.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.label_browser import Browser, Reply, Unreachable
from benchmarks.label_crowd import Annotator, Day, Habits, all_work

HABITS = Habits(pause=0.4, away=0.0, twice=0.1)


@dataclass
class Timed(Browser):
    """One that notes of each request when it left, how long it took and what came of it."""

    log: list[tuple[float, float, str]] = field(default_factory=list)

    async def send(
        self, method: str, path: str, body: bytes = b"", kind: str = "application/json"
    ) -> Reply:
        began, what = time.time(), "timeout"
        try:
            reply = await super().send(method, path, body, kind)
            what = str(reply.status)
            return reply
        except Unreachable as error:
            what = str(error)
            raise
        finally:
            self.log.append((began, time.time() - began, what))


async def label(host: str, port: int, wanted: int, invitations: list[str]) -> dict[str, object]:
    day = Day(wanted)
    people = []
    log: list[tuple[float, float, str]] = []
    for at, token in enumerate(invitations):
        browser = Timed(host, port, day.troubles, log=log)
        await browser.join(token, f"Person {at}")
        people.append(Annotator(f"Person {at}", browser, HABITS, day, f"person {at}"))
    print("at work", flush=True)
    await all_work(people)
    return {
        "said": [
            {"name": one.name, "body": one.body, "shown": one.shown, "saved": one.sent is not None,
             "refused": one.refused}
            for one in day.said
        ],
        "faults": day.faults, "retries": Counter(day.retries), "troubles": day.troubles,
        "twice": day.sent_twice, "longest": day.longest_wait, "log": log,
    }  # fmt: skip


if __name__ == "__main__":
    host, port, wanted, out = sys.argv[1:]
    told = asyncio.run(label(host, int(port), int(wanted), sys.stdin.read().split()))
    Path(out).write_text(json.dumps(told))
