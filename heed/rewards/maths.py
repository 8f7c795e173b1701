"""Mathematics: an answer is right where math-verify finds it equal to the right one.

Answers are written by a model that is rewarded for them, and 9^(9^9) would keep this process busy
for hours where no thread or signal can stop it. So they are checked in a process of its own, which
is ended when an answer takes too long.
"""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
from collections.abc import Callable, Mapping
from weakref import finalize

from heed.errors import UserError
from heed.rewards.verifiable import right_answer
from heed.types import Completion

FINAL = "####"
"""What stands before the final answer in GSM8K's rows, and in answers that follow them."""
START_SECONDS = 120.0
"""Time for the process to load what it needs."""


def final(text: str) -> str:
    """What stands behind the last ####, or the whole text without one."""
    return text.rpartition(FINAL)[2].strip()


class MathsScore:
    """1 where the answer is mathematically the right one, else 0; of several the last counts.

    An answer that takes longer than `seconds` to check, or more memory than there is, counts as
    wrong, and `say` hears of it.
    """

    def __init__(
        self, answers: Mapping[str, str], *, seconds: float, say: Callable[[str], None]
    ) -> None:
        self.answers = answers
        self.seconds = seconds
        self.say = say
        self._worker: _Worker | None = None

    def __call__(self, completion: Completion) -> float:
        right = final(right_answer(self.answers, completion))
        self._worker = self._worker or _Worker()
        verdict = self._worker.ask([right, final(completion.text)], self.seconds)
        if verdict is None:
            self.say(
                f"An answer could not be checked within {self.seconds:g} seconds and counts as "
                f"wrong: {completion.text!r}, to {completion.prompt.id!r}."
            )
            self._worker.end()
            self._worker = None
        return float(bool(verdict))


class _Worker:
    """The process that checks; it is ended with this object."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "heed.rewards.maths_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.end = finalize(self, _end, self.process)
        if self._read(START_SECONDS) != "ready":
            raise UserError(
                "The process that checks mathematics did not start; see what it wrote above. "
                "It needs math-verify: pip install math-verify."
            )

    def ask(self, question: list[str], seconds: float) -> bool | None:
        """Whether the two are equal; None where that took too long or was the process's end."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        reply = self._read(seconds)
        return bool(json.loads(reply)) if reply else None

    def _read(self, seconds: float) -> str:
        """A line of the process, or "" where none came in time."""
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as ready:
            ready.register(self.process.stdout, selectors.EVENT_READ)
            return self.process.stdout.readline().strip() if ready.select(seconds) else ""


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
