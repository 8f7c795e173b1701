"""What the crowd works on: a project in a store, and `heed label` serving it until it is killed."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from urllib.error import URLError
from urllib.request import urlopen

from heed.store import access, guidelines, items, projects
from heed.store.database import Store
from heed.store.projects import ProjectSettings
from heed.types import Item, Prompt

START_SECONDS = 180.0
TEXT = """

Begin with what is known, then say what follows from it:

1. *First*, the **simple** case, as in `f(x) = x + 1`.
2. Then the general one, which the [guidelines](https://example.org/) describe.

```python
def answer(question: str) -> str:
    return "It depends on the question."
```

What remains is a matter of taste. Some prefer a short answer to a long one, and some do not.
"""
MARK = re.compile(r"^Item (\d+), answer (\d)\.")


@dataclass(frozen=True)
class Site:
    """A project to label: where it is, what it wants, one invitation for each annotator."""

    place: str
    project: str
    items: int
    per_item: int
    invitations: dict[str, str]

    @property
    def wanted(self) -> int:
        return self.items * self.per_item


def prepare(place: str, *, items_: int, per_item: int, annotators: int, lease_seconds: int) -> Site:
    """A new project in the store at `place`, under a name of its own."""
    name = f"load {token_hex(4)}"
    asked = [
        Item(
            f"item {at}", Prompt.of(f"Question {at}?{TEXT}"),
            tuple(f"Item {at}, answer {which}.{TEXT}" for which in (0, 1)), ("one", "other"),
        )
        for at in range(items_)
    ]  # fmt: skip
    settings = ProjectSettings(per_item=per_item, lease_seconds=lease_seconds)
    store = Store.open(place)
    try:
        with store.write() as session:
            project = projects.create(session, name, settings)
            items.add(session, project.id, asked)
            guidelines.publish(session, project.id, f"# Rules\n{TEXT}")
            tokens = {
                f"{name}: annotator {at}": access.invite(session, "annotator")
                for at in range(annotators)
            }
    finally:
        store.close()
    return Site(place, name, items_, per_item, tokens)


def mark(text: str) -> tuple[str, int]:
    """The item that an answer's text belongs to, and its place there."""
    found = MARK.match(text)
    assert found, f"no answer of ours: {text[:40]!r}"
    return f"item {found[1]}", int(found[2])


@dataclass
class Server:
    """`heed label` as a process of its own.

    `down` holds when it was killed and when it answered again, in seconds of `time.perf_counter`;
    `busy` the processor's seconds it took, its starts aside (known once it has stopped).
    """

    site: Site
    log: Path
    port: int = field(init=False)
    down: list[tuple[float, float]] = field(default_factory=list)
    busy: float = 0.0
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]

    async def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            RuntimeError: it ended, or did not answer for minutes.
        """
        command = [
            sys.executable, "-m", "heed", "label", "--store", self.site.place,
            "--project", self.site.project, "--accounts", "--port", str(self.port), "--no-open",
        ]  # fmt: skip
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        until = time.monotonic() + START_SECONDS
        while not await asyncio.to_thread(_answers, self.port):
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"heed label does not answer:\n{self.log.read_text()[-2000:]}")
            await asyncio.sleep(0.05)
        self.busy -= _busy(self.process.pid)

    async def kill_and_start(self) -> None:
        """kill -9, and at once the same command again."""
        began = time.perf_counter()
        self._end(signal.SIGKILL)
        await self.start()
        self.down.append((began, time.perf_counter()))

    def stop(self) -> None:
        """As with Ctrl-C."""
        if self.process is not None and self.process.poll() is None:
            self._end(signal.SIGINT)

    def complaints(self) -> list[str]:
        """What the server logged beyond its greeting and its farewell."""
        told = ("Compare answers at", "Come in as the owner", "Stopped.")
        lines = self.log.read_text().splitlines()
        return [line for line in lines if line.strip() and not line.startswith(told)]

    def _end(self, how: signal.Signals) -> None:
        assert self.process is not None
        before = _ended_busy()
        os.kill(self.process.pid, how)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.busy += _ended_busy() - before


def _answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as reply:
            return bool(reply.status == 200)
    except (URLError, OSError):
        return False


def _busy(pid: int) -> float:
    """The processor's seconds that a living process took, where /proc says so."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _ended_busy() -> float:
    """The processor's seconds of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
