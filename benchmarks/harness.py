"""Runs the sides of a comparison in turn, A B A B, each in a process of its own, and compares.

A side (`benchmarks.serving`) gets ready once and then does a round whenever it is told to, while
the others wait; so a drift of the machine's speed hits all alike. The first round warms up and is
not counted. Of every round the foreign load is known: what all processors did meanwhile, less what
the side did.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Self

from benchmarks import profile

ROOT = Path(__file__).resolve().parent.parent
LOADED = 0.15
"""Processors that others may keep busy before a result is called disturbed."""
LOOKED_AT = 2.0
"""Seconds for which our fastest side is looked into, at least."""
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Side:
    """One contender: how it is started, and whether it is ours."""

    name: str
    command: Sequence[str]
    given: Mapping[str, Any] = field(default_factory=dict)
    """Its specification; what `benchmarks.serving` reads."""
    ours: bool = False

    @classmethod
    def heed(cls, name: str, module: str, **given: Any) -> Self:
        return cls(name, [sys.executable, "-m", module], given, ours=True)

    @classmethod
    def peer(cls, name: str, python: Path, module: str, **given: Any) -> Self:
        return cls(name, [str(python), "-m", module], given)


@dataclass(frozen=True)
class Measured:
    """One round of one side."""

    seconds: float
    foreign: float
    """Processors that others kept busy meanwhile, on average."""
    peak: int
    said: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """All rounds of all sides, the warming-up left out."""

    name: str
    rounds: Mapping[str, Sequence[Measured]]
    ours: frozenset[str]
    warming: Mapping[str, Measured] = field(default_factory=dict)
    profile: Mapping[str, float] = field(default_factory=dict)
    """Where the time of our fastest side goes, by `benchmarks.profile`."""

    def seconds(self, side: str) -> float:
        """The median over the rounds."""
        return statistics.median(one.seconds for one in self.rounds[side])

    def peak(self, side: str) -> int:
        return max(one.peak for one in self.rounds[side])

    def foreign(self) -> float:
        """The processors that others kept busy in the worst round."""
        return max(one.foreign for rounds in self.rounds.values() for one in rounds)

    def best(self, *, ours: bool) -> str:
        """The fastest side, ours or a peer's."""
        sides = [name for name in self.rounds if (name in self.ours) == ours]
        return min(sides, key=self.seconds)

    def tokens(self, side: str) -> float:
        """A second, at the median; 0 where a side does not count them."""
        counts = [float(one.said.get("tokens", 0)) for one in self.rounds[side]]
        return statistics.median(counts) / self.seconds(side)

    def ratio(self, mine: str, other: str) -> Ratio:
        """How many times faster `mine` is than `other`."""
        pairs = zip(self.rounds[mine], self.rounds[other], strict=True)
        return Ratio.of([theirs.seconds / our.seconds for our, theirs in pairs])

    def table(self) -> str:
        """A line a side, and how much faster ours is than each of the others."""
        lines = [self.name + disturbed(self.foreign())]
        mine = [side for side in self.rounds if side in self.ours]
        for side in self.rounds:
            against = [
                f"{each} {self.ratio(each, side)} x" for each in mine if side not in self.ours
            ]
            lines.append(
                f"  {side:<14} {self.seconds(side):8.3f} s {self.tokens(side):8.0f} tokens/s "
                f"{self.peak(side) / 1e9:6.2f} GB   {'; '.join(against)}"
            )
        return "\n".join(lines)


@dataclass(frozen=True)
class Ratio:
    """The median of the rounds' ratios, the lowest and the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, ratios: Sequence[float]) -> Self:
        return cls(statistics.median(ratios), min(ratios), max(ratios))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


Check = Callable[[Mapping[str, Sequence[Mapping[str, Any]]]], None]
"""Given what every side said, round by round with the first; raises `Unequal`."""


class Unequal(SystemExit):
    """The sides computed different things: there is nothing to compare."""


def compare(
    name: str,
    sides: Sequence[Side],
    rounds: int,
    check: Check = lambda said: None,
    *,
    warm: bool = True,
) -> Comparison:
    """Run all sides in turn, `rounds` times after one that warms up, if one is to. Then our fastest
    does some more that are looked into, where there is a `recorder`.

    They get ready side by side. Raises Unequal where they did not compute the same, RuntimeError
    where a side fails.
    """
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        running = [stack.enter_context(_Running(side, Path(folder))) for side in sides]
        for one in running:
            one.get_ready()
        seen = [{one.side.name: one.round() for one in running} for _ in range(rounds + warm)]
        kept = {side.name: [each[side.name] for each in seen[warm:]] for side in sides}
        ours = frozenset(side.name for side in sides if side.ours)
        found = Comparison(name, kept, ours, seen[0] if warm else {})
        inside = _looked_into({one.side.name: one for one in running}, found)
    check({side.name: [each[side.name].said for each in seen] for side in sides})
    return replace(found, profile=inside)


def _looked_into(running: Mapping[str, _Running], found: Comparison) -> dict[str, float]:
    perf = profile.recorder() if found.ours else None
    if perf is None:
        return {}
    name = found.best(ours=True)
    fastest, rounds = running[name], math.ceil(LOOKED_AT / found.seconds(name))
    with profile.watched(perf, fastest.process.pid) as inside:
        for _ in range(rounds):
            fastest.round()
    return inside


def apart(together: Comparison) -> list[Comparison]:
    """A comparison whose rounds held several cases, with `clocks` and `counts`, as one a case."""
    some = next(iter(together.rounds.values()))
    return [
        Comparison(
            f"{together.name} {case}",
            {side: [_case(one, case) for one in seen] for side, seen in together.rounds.items()},
            together.ours,
            profile=together.profile,
        )
        for case in some[0].said["clocks"]
    ]


def _case(one: Measured, case: str) -> Measured:
    tokens = {"tokens": one.said["counts"][case]}
    return Measured(one.said["clocks"][case], one.foreign, one.peak, tokens)


def disturbed(foreign: float) -> str:
    """A warning where others kept processors busy; nothing where they did not."""
    if foreign <= LOADED:
        return ""
    return f"  (DISTURBED: others kept {foreign:.1f} processors busy in the worst round)"


class _Running:
    """A side's process; it is ended when the context is left."""

    def __init__(self, side: Side, folder: Path) -> None:
        self.side = side
        self.log = folder / f"{side.name.replace(' ', '_')}.log"
        given = self.log.with_suffix(".json")
        given.write_text(json.dumps(dict(side.given)), "utf-8")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*side.command, str(given)], cwd=ROOT, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=log, env=_surroundings(),
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def get_ready(self) -> None:
        """Wait until the side says that it is."""
        self._hear()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def round(self) -> Measured:
        before, own, began = busy_seconds(), cpu_seconds(self.process.pid), time.perf_counter()
        self._pipe(self.process.stdin).write(b"go\n")
        self._pipe(self.process.stdin).flush()
        said = self._hear()
        wall = time.perf_counter() - began
        others = busy_seconds() - before - (cpu_seconds(self.process.pid) - own)
        return Measured(
            float(said.pop("seconds", wall)), max(0.0, others / wall), int(said.pop("peak")), said
        )

    def _hear(self) -> dict[str, Any]:
        line = self._pipe(self.process.stdout).readline()
        if not line:
            tail = self.log.read_text("utf-8", errors="replace")[-3000:]
            raise RuntimeError(f"{self.side.name} ended before its time.\n{tail}")
        said: dict[str, Any] = json.loads(line)
        return said

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe


def busy_seconds() -> float:
    """What all processors together have worked since the machine was started, in seconds."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    numbers = [int(value) for value in fields]
    return (sum(numbers) - numbers[3] - numbers[4]) / TICKS  # less idle and waiting for disks


def cpu_seconds(pid: int) -> float:
    """What a process's threads have worked, and its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(value) for value in fields[11:15]) / TICKS


def _surroundings() -> dict[str, str]:
    """Nobody asks a hub, and nobody waits in a busy loop while another works."""
    return {
        "GOMP_SPINCOUNT": "20000",
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "TRL_EXPERIMENTAL_SILENCE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": str(ROOT),
    }
