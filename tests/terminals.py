"""A program in a terminal of its own: what it writes is read, keys are pressed."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

CTRL_C, CTRL_D = "\x03", "\x04"
PATIENCE = 120.0


class Terminal:
    """`heed` in a pseudo-terminal which is its controlling one, so that Ctrl-C is a signal."""

    def __init__(self, words: Sequence[str]) -> None:
        self.text = ""
        self._ours, theirs = pty.openpty()
        self.child = subprocess.Popen(
            [sys.executable, "-m", "heed", *words], stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True, preexec_fn=_control,  # noqa: PLW1509 (it takes no lock)
            env={**os.environ, "COLUMNS": "100", "LINES": "40", "TERM": "xterm",
                 "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        os.close(theirs)
        threading.Thread(target=self._read, daemon=True).start()

    def press(self, keys: str) -> None:
        """Type something."""
        os.write(self._ours, keys.encode())

    def wait_for(self, words: str, after: int = 0) -> int:
        """Wait until the words stand there; returns where they end."""
        end = time.monotonic() + PATIENCE
        while (found := self.text.find(words, after)) < 0:
            assert self.child.poll() is None or words in self.text[after:], self.text
            assert time.monotonic() < end, self.text
            time.sleep(0.02)
        return found + len(words)

    def _read(self) -> None:
        while True:
            try:
                select.select([self._ours], [], [])
                self.text += os.read(self._ours, 65536).decode("utf-8", "replace")
            except OSError:
                return


def _control() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@contextmanager
def terminal(*words: str) -> Iterator[Terminal]:
    """A terminal that does not outlive the block."""
    shown = Terminal(words)
    try:
        yield shown
    finally:
        shown.child.kill()
        shown.child.wait()
