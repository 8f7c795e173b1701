"""A run that waits for people: they label on its page, either side dies, and it goes on."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from heed.feedback import queue
from heed.files import read_records
from heed.store import projects
from heed.store.database import Store
from heed.types import Annotation, Comparison, Item

LABELS = 27


@pytest.fixture
def settings(tiny_settings: list[str]) -> list[str]:
    """Few enough items to label in a test, at a port that is free."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    people = ["collect.source=people", f"collect.people.port={port}"]
    return [*tiny_settings, *people, "collect.comparisons=16", "collect.heldout=11"]


@contextmanager
def running(run: Path, settings: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """The run as a process; what it says goes to a file, which outlives it."""
    command = [sys.executable, "-m", "heed", "run", "quickstart", "--out", str(run)]
    for each in settings:
        command += ["--set", each]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with (
        (run / "said.txt").open("wb") as said,
        subprocess.Popen(command, env=environment, stdout=said, stderr=said) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def address_of(process: subprocess.Popen[bytes], run: Path) -> str:
    """The page's address, once the run has said it."""
    while True:
        ended = process.poll() is not None
        said = (run / "said.txt").read_text()
        if found := re.search(r"Waiting for people .*(http://\S+)\n", said):
            return found[1]
        assert not ended, f"the run never asked for people:\n{said}"
        time.sleep(0.1)


def label(address: str, count: int) -> int:
    """Prefer the longer answer, `count` times at most; how often there was something to label."""
    with httpx2.Client(base_url=address, timeout=20) as client:
        found = re.search(r'name="csrf" content="([^"]+)"', client.get("/label").text)
        assert found
        client.headers["X-CSRF-Token"] = found[1]
        for done in range(count):
            task = client.get("/api/next").json()["task"]
            if task is None:
                return done
            left, right = (len(text) for text in task["texts"])
            said = {"lease": task["lease"], "key": f"k-{task['lease']}", "seconds": 1.5, "ui": "t"}
            saved = client.post("/api/answers", json={**said, "verdict": 2 if left > right else 7})
            assert saved.status_code == 200, saved.text
    return count


def servers_of(process: subprocess.Popen[bytes]) -> list[int]:
    """The labelling servers that a run has started."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [
        int(child)
        for child in children
        if b"label" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
    ]


def labels_in(run: Path) -> int:
    store = Store.open(run / "feedback.db")
    try:
        with store.read() as session:
            (project,) = projects.listing(session)
            return queue.progress(session, project, 0).done
    finally:
        store.close()


def until_it_answers(address: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            httpx2.get(f"{address}/health", timeout=2).raise_for_status()
        except httpx2.HTTPError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"nobody answers at {address}")


@pytest.mark.slow
def test_people_label_while_a_run_waits(run_copy: Path, settings: list[str]) -> None:
    with running(run_copy, settings) as process:
        address = address_of(process, run_copy)
        assert label(address, 9) == 9
        (server,) = servers_of(process)
        os.kill(server, signal.SIGKILL)
        until_it_answers(address)  # the run has started it again, at the same place
        assert label(address, 5) == 5
        (orphan,) = servers_of(process)
        process.kill()
        process.wait()
    assert labels_in(run_copy) == 14

    with running(run_copy, settings) as process:
        assert address_of(process, run_copy) == address  # the server that was left behind
        assert label(address, 100) == LABELS - 14
        assert process.wait(timeout=300) == 0
    os.kill(orphan, signal.SIGTERM)  # another run's server is left alone
    collect = run_copy / "collect"
    said = read_records(collect / "annotations.jsonl", Annotation)
    items = {item.id: item for item in read_records(collect / "items.jsonl", Item)}
    assert sorted(each.item for each in said) == sorted(items)
    assert {each.source for each in said} == {"people"}
    made = [
        *read_records(collect / "comparisons.jsonl", Comparison),
        *read_records(collect / "heldout.jsonl", Comparison),
    ]
    assert len(made) == LABELS
    assert all(len(each.chosen) >= len(each.rejected) for each in made)
    assert {tuple(each.order) for each in said} == {(0, 1), (1, 0)}
    assert json.loads((run_copy / "reward" / "done.json").read_text())["summary"]["comparisons"]
    assert not (collect / "ceiling.json").exists()


@pytest.mark.slow
def test_ctrl_c_while_waiting_loses_nothing(run_copy: Path, settings: list[str]) -> None:
    with running(run_copy, settings) as process:
        label(address_of(process, run_copy), 3)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
    assert labels_in(run_copy) == 3
