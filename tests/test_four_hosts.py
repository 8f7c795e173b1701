"""Training, rollouts, the store, the labelling page and the people, each on a host of its own; each
link is cut while it is in use, and the database killed. Nothing is lost, nothing doubled, and the
run goes on.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from far_postgres import Postgres
from hosts import NET, Hosts, hosts_or_skip
from killed import ENVIRONMENT, rows
from sqlalchemy import select, text
from test_kill_ahead import RECIPE

from benchmarks.label_browser import PATIENCE
from benchmarks.rollout_servers import KEY, ROOT, Served
from heed.feedback import queue
from heed.files import read_records
from heed.store import access, projects
from heed.store.annotations import read_all
from heed.store.database import Store
from heed.store.schema import AnnotationRow
from heed.types import Annotation, Comparison, Item

TRAINER, ROLLOUTS, STORE, PAGE, PEOPLE = range(1, 6)
CROWD, PER_ITEM, ITERATIONS = 5, 4, 16
PORT = 8765
PATIENT = 180.0
"""Seconds after which what should come about will not."""
STAGES = f"""\
  - collect:
      source: people
      comparisons: 72
      heldout: 24
      per_item: {PER_ITEM}
      sampling: {{max_new_tokens: 16}}
      people: {{store: "postgresql://postgres@{NET}.{STORE}/postgres", serve: false}}
  - reward: {{epochs: 1, batch: 8, calibration: 32, sampling: {{max_new_tokens: 16}}}}
  - rloo: {{name: far, iterations: {ITERATIONS}, rollouts: 16, sampling: {{max_new_tokens: 16}},
           servers: {{addresses: ["http://{NET}.{ROLLOUTS}:8001"], timeout: 3.0, tries_again: 60}}}}
"""


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with hosts_or_skip(5) as made:
        yield made


@dataclass
class Place:
    """What runs where, and what the test itself knows of it past all cables."""

    hosts: Hosts
    postgres: Postgres
    folder: Path
    stack: ExitStack
    store: Store
    cuts: list[tuple[str, float, float]] = field(default_factory=list)

    @property
    def out(self) -> Path:
        return self.folder / "run"

    def start(self, host: int, name: str, *words: str, **more: Any) -> subprocess.Popen[str]:
        """A command on a host; what it says goes to a file of its name."""
        with (self.folder / f"{name}.txt").open("w") as said:
            process = subprocess.Popen(
                [*self.hosts.inside(host), sys.executable, *words],
                env={**ENVIRONMENT, **KEY, "PYTHONPATH": str(ROOT)}, stdout=said, stderr=said,
                text=True, **more,
            )  # fmt: skip
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        return process

    def said(self, name: str) -> str:
        path = self.folder / f"{name}.txt"
        return path.read_text() if path.exists() else ""

    @contextmanager
    def cut(self, what: str, host: int) -> Iterator[None]:
        """No packet from or to a host comes through while the block lasts."""
        began = time.time()
        self.hosts.silence(host)
        yield
        self.hosts.hear(host)
        self.cuts.append((what, began, time.time()))

    def labels(self) -> int:
        """How many are in the store."""
        with self.store.read() as session:
            return len(session.scalars(select(AnnotationRow.id)).all())

    def wanted(self) -> int:
        """How many the run waits for."""
        with self.store.read() as session:
            (project,) = projects.listing(session)
            return queue.progress(session, project).wanted

    def invitations(self, count: int) -> str:
        """Links that let so many people in."""
        with self.store.write() as session:
            return "\n".join(access.invite(session, "annotator") for _ in range(count))


def until(there: Callable[[], Any], *running: subprocess.Popen[str], place: Place) -> Any:
    """What `there` says, once it is something; fails where a process has ended."""
    deadline = time.monotonic() + PATIENT
    while not (found := there()):
        for process in running:
            alive = process.poll() is None and time.monotonic() < deadline
            assert alive, "\n".join(map(place.said, ("run", "page", "people")))
        time.sleep(0.1)
    return found


@pytest.mark.slow
def test_every_link_is_cut_and_nothing_is_lost(hosts: Hosts, tmp_path: Path) -> None:
    recipe = tmp_path / "far.yaml"
    before = RECIPE.partition("  - collect:")[0].replace("corpus: 300", "corpus: 2000")
    recipe.write_text(before + STAGES)
    with ExitStack() as stack:
        server = Postgres(f"{NET}.{STORE}", f"{NET}.0/24", hosts.inside(STORE))
        stack.enter_context(server)
        store = stack.enter_context(closing(Store.open(server.here)))
        place = Place(hosts, server, tmp_path, stack, store)
        words = ("-m", "heed", "run", str(recipe), "--out", str(place.out))
        running = place.start(TRAINER, "run", *words)
        told = label_through_cuts(place, running)
        served = Served(place.out / "pretrain/policy", f"{NET}.{ROLLOUTS}", 8001,
                        hosts.inside(ROLLOUTS))  # fmt: skip
        stack.callback(served.kill)
        served.start()
        train_through_a_cut(place, running)
        assert running.wait(timeout=300) == 0, place.said("run")
        said = place.said("run")
        assert "Traceback" not in said + place.said("page")
        assert said.count("is away") == said.count("The store is back after") >= 2, said
        check_labels(place, told)
        check_comparisons(place)
        check_connections(place)
    assert [row["step"] for row in rows(place.out, "far")] == list(range(1, ITERATIONS + 1))


def label_through_cuts(place: Place, running: subprocess.Popen[str]) -> dict[str, Any]:
    """People label while the cables of the store and of the page are cut, and the database is
    killed; what they remember.
    """
    command = r"Waiting for people .*heed label --store (\S+) --project (\S+)\n"
    found = until(lambda: re.search(command, place.said("run")), running, place=place)
    page = place.start(
        PAGE, "page", "-m", "heed", "label", "--store", found[1], "--project", found[2],
        "--host", f"{NET}.{PAGE}", "--port", str(PORT), "--no-open",
    )  # fmt: skip
    until(lambda: "owner by this link" in place.said("page"), page, running, place=place)
    out, wanted = place.folder / "told.json", place.wanted()
    assert wanted >= 70
    people = place.start(
        PEOPLE, "people", str(Path(__file__).parent / "far_annotators.py"),
        f"{NET}.{PAGE}", str(PORT), str(wanted), str(out), stdin=subprocess.PIPE,
    )  # fmt: skip
    assert people.stdin is not None
    people.stdin.write(place.invitations(CROWD))
    people.stdin.close()

    def reach(count: int) -> None:
        until(lambda: place.labels() >= count, running, page, place=place)

    reach(5)
    with place.cut("store", STORE):
        time.sleep(14)  # longer than any connection is waited for
    reach(25)
    with place.cut("page", PAGE):
        time.sleep(4)
    draw = random.Random(1)
    for count in range(35, 60, 5):  # short ones, in the midst of sending and replying
        reach(count)
        with place.cut("store", STORE):
            time.sleep(draw.uniform(0.3, 2.0))
    reach(65)
    began = time.time()
    place.postgres.kill()
    time.sleep(3)
    place.postgres.start()
    place.cuts.append(("kill", began, time.time()))
    assert people.wait(timeout=120) == 0, place.said("people")
    told: dict[str, Any] = json.loads(out.read_text())
    return told


def train_through_a_cut(place: Place, running: subprocess.Popen[str]) -> None:
    """Rounds are drawn elsewhere, then for a while not at all."""

    def reach(count: int) -> None:
        until(lambda: len(rows(place.out, "far")) >= count, running, place=place)

    reach(3)
    with place.cut("rollouts", ROLLOUTS):
        time.sleep(4)  # what was under way has come or is lost
        before = len(rows(place.out, "far"))
        time.sleep(4)
        assert len(rows(place.out, "far")) == before < ITERATIONS


def check_labels(place: Place, told: dict[str, Any]) -> None:
    """Each label that somebody was told is saved is there once, as it was said; no other is."""
    with place.store.read() as session:
        kept = list(session.execute(select(AnnotationRow.key, AnnotationRow.grade,
                                           AnnotationRow.undecided)))  # fmt: skip
    # A database that is killed may have forgotten whom it gave a task just before: an answer to it
    # is refused, and the person is told.
    refused = [fault for fault in told["faults"] if fault.endswith("404 not_yours")]
    assert told["faults"] == refused
    assert len(refused) <= CROWD
    assert Counter(row.key for row in kept) == Counter(
        one["body"]["key"] for one in told["said"] if one["saved"]
    )
    assert {row.key: row.grade or row.undecided for row in kept} == {
        one["body"]["key"]: one["body"]["verdict"] for one in told["said"] if one["saved"]
    }
    assert len(kept) == place.wanted()
    # While the store was away the page said so, and did not keep anybody waiting.
    away = [(began, ended) for what, began, ended in place.cuts if what in {"store", "kill"}]
    during = [
        (seconds, what) for at, seconds, what in told["log"]
        if any(began < at < ended for began, ended in away)
    ]  # fmt: skip
    assert "503" in {what for _, what in during}
    assert {what for _, what in during} <= {"200", "503", "409", "404"}
    assert max(seconds for seconds, _ in during) < PATIENCE


def check_comparisons(place: Place) -> None:
    """The trainer learned from the store's labels, all of them."""
    with place.store.read() as session:
        (project,) = projects.listing(session)
        kept = read_all(session, project.id)
    folder = place.out / "collect"
    assert read_records(folder / "annotations.jsonl", Annotation) == kept
    items = {item.id: item for item in read_records(folder / "items.jsonl", Item)}
    wanted: Counter[tuple[str, ...]] = Counter()
    for said in kept:
        if isinstance(said.verdict, int):
            left, right = (items[said.item].answers[at] for at in said.order)
            pair = (left, right) if said.verdict <= 4 else (right, left)
            wanted[items[said.item].prompt.id, *pair] += 1
    made = [
        *read_records(folder / "comparisons.jsonl", Comparison),
        *read_records(folder / "heldout.jsonl", Comparison),
    ]
    assert Counter((each.prompt.id, each.chosen, each.rejected) for each in made) == wanted


def check_connections(place: Place) -> None:
    """The database has let go of those that were cut."""
    with place.store.read() as session:
        statement = text("SELECT count(*) FROM pg_stat_activity WHERE client_addr IS NOT NULL")
        assert session.scalars(statement).one() < 20
