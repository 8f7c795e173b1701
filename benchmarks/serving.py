"""What a side of a comparison is made of: a process that does a round of work when it is told to.

    python -m SIDE SPECIFICATION

The specification is a file of JSON. A side gets ready, says so in one line of JSON, and for every
line that it reads does one round and says what that took. Only the standard library, since the
peers' Python runs it too. Whatever else a side prints goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Stage:
    """Where one side acts: what it was given, when it is to begin, whom it tells."""

    def __init__(self, specification: dict[str, Any]) -> None:
        self.given = specification
        self.told = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)  # libraries print what they like

    @classmethod
    def of_arguments(cls) -> Stage:
        return cls(json.loads(Path(sys.argv[1]).read_text("utf-8")))

    def say(self, **what: Any) -> None:
        """One line of JSON, with the most memory that this process ever held."""
        self.told.write(json.dumps({**what, "peak": peak_memory()}) + "\n")

    def wait(self) -> bool:
        """Until the next round is asked for; False where none will be."""
        return bool(sys.stdin.readline())

    def rounds(self, **ready: Any) -> Iterator[Round]:
        """Say that all is ready, then give each round as it is asked for, and say what it took."""
        self.say(**ready)
        while self.wait():
            one = Round()
            yield one
            self.say(**{"seconds": time.perf_counter() - one.began, **one.said})


class Round:
    """A round while it lasts: what is put into `said` is told at its end, `seconds` perhaps among
    it, where something is done that does not count.
    """

    def __init__(self) -> None:
        self.said: dict[str, Any] = {}
        self.began = time.perf_counter()

    def stop(self) -> None:
        """What comes after this does not count."""
        self.said["seconds"] = time.perf_counter() - self.began


def peak_memory() -> int:
    """Bytes: the high water of this process's resident memory, since it became this program."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
