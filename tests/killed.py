"""Runs a recipe in processes that are killed, hard, at a point one chooses.

A server process imports Heed and torch once and forks a child for each attempt, so that one costs
what it computes and not the seconds of imports: `with Killer() as killer: killer.run(...)`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
KILLED = -signal.SIGKILL
WRITES = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree")
"""Audit events that change a directory, where their first argument lies in it."""


def rows(run: Path, stage: str) -> list[dict[str, object]]:
    """The stage's whole rows of metrics, as another process sees them while they are written."""
    try:
        lines = (run / "metrics.jsonl").read_text().split("\n")[:-1]
    except FileNotFoundError:
        return []
    return [row for row in map(json.loads, lines) if row["stage"] == stage]


class Killer:
    """The server, from the test's side."""

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__))],
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.process.kill()
        self.process.communicate()

    def run(self, recipe: Path, out: Path, **point: Any) -> int:
        """Run a recipe; returns 0, or KILLED where it came to one of these points:

        rows=(stage, count)   the stage has logged so many rows
        seconds=s             so long after the start
        write=n               before the n-th change to a file or folder of the run
        sync=n                in the n-th atomic write, its content written, not yet in its place
        torn=n                in the n-th row that is appended, half of it written

        With after=stage what is counted, and the clock, begin when that stage has begun.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        request = {"recipe": str(recipe), "out": str(out), **point}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert answer["status"] in (0, KILLED), answer["errors"]
        return int(answer["status"])


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Counter:
    """Dies at the n-th time that it is asked, once a stage has begun."""

    def __init__(self, number: int, out: str, after: str | None) -> None:
        self.left = number
        self.waiting = None if after is None else Path(out) / after / "started.json"

    def last(self) -> bool:
        """Count one; whether it is the n-th."""
        if self.waiting is not None:
            if not self.waiting.exists():
                return False
            self.waiting = None
        self.left -= 1
        return self.left <= 0


def _before_write(counter: Counter, out: str) -> None:
    """Die before the n-th event that changes something in the run's directory."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in WRITES or not str(arguments[0]).startswith(out):
            return
        reads = event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        if not reads and counter.last():
            _die()

    sys.addaudithook(hook)


def _in_sync(counter: Counter, out: str) -> None:
    """Die in the n-th atomic write, before its content is safe."""
    sync = os.fsync

    def dying(descriptor: int) -> None:
        if counter.last():
            _die()
        sync(descriptor)

    os.fsync = dying


def _in_row(counter: Counter, out: str) -> None:
    """Die in the n-th appended row, half of it on disk."""
    from heed import run

    append = run._append

    def dying(path: Path, row: Any) -> None:
        if counter.last():
            text = json.dumps(row)
            with path.open("a", encoding="utf-8") as file:
                file.write(text[: len(text) // 2])
            _die()
        append(path, row)

    run._append = dying


INSIDE: dict[str, Callable[[Counter, str], None]] = {
    "write": _before_write, "sync": _in_sync, "torn": _in_row,
}  # fmt: skip


def _child(request: dict[str, Any], errors: Path) -> None:
    from heed.cli.run import carry_out
    from heed.config import load_recipe

    with errors.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    for name, arm in INSIDE.items():
        if name in request:
            arm(Counter(request[name], request["out"], request.get("after")), request["out"])
    try:
        carry_out(load_recipe(request["recipe"]), Path(request["out"]), fresh=False)
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}")
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


class Watch:
    """Whether the point has come, where it is seen from outside."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.request = request
        self.out = Path(request["out"])
        self.began: float | None = None

    def is_there(self) -> bool:
        if "rows" in self.request:
            stage, count = self.request["rows"]
            return len(rows(self.out, stage)) >= count
        if "seconds" not in self.request:
            return False
        after = self.request.get("after")
        if self.began is None and (after is None or (self.out / after / "started.json").exists()):
            self.began = time.monotonic()
        wait = float(self.request["seconds"])
        return self.began is not None and time.monotonic() - self.began >= wait


def _status(child: int) -> int | None:
    """How a child ended; None while it runs."""
    ended, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def serve() -> None:
    """Answer requests, one a line, until the input ends."""
    from heed import pipeline
    from heed.cli import desk, run

    assert all((pipeline, desk, run)), "imported before forking"
    errors = Path(tempfile.mkstemp(suffix=".killed")[1])
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if not child:
            _child(request, errors)
        watch = Watch(request)
        while (status := _status(child)) is None:
            if watch.is_there():
                os.kill(child, signal.SIGKILL)
                status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                break
            time.sleep(0.004)
        answer = {"status": status, "errors": errors.read_text()[-3000:]}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    errors.unlink()


def random_point(draw: random.Random, pending: Sequence[str]) -> dict[str, Any]:
    """One of all kinds of points, in one of the next stages that are `pending`."""
    kinds: list[Callable[[], dict[str, Any]]] = [
        lambda: {"seconds": draw.uniform(0.0, 0.5)},
        lambda: {"seconds": draw.uniform(0.0, 2.0)},
        lambda: {"write": draw.randint(1, 40)},
        lambda: {"sync": draw.randint(1, 12)},
        lambda: {"torn": draw.randint(1, 6)},
    ]
    return {**draw.choice(kinds)(), "after": draw.choice(pending[:4])}


if __name__ == "__main__":
    serve()
