"""Ctrl-C at a point of our choosing."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def deferred_interrupt() -> Iterator[threading.Event]:
    """Within the block the first Ctrl-C only sets the event; a second one interrupts at once.

    Outside the main thread, where Python delivers no signals, the event is never set.
    """
    asked = threading.Event()

    def handle(*_: object) -> None:
        asked.set()
        sys.stderr.write("\nFinishing the iteration and saving; Ctrl-C again stops at once.\n")
        signal.signal(signal.SIGINT, signal.default_int_handler)

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, previous)
