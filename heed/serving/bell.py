"""From the engines' threads into the event loop: who waits for a token is woken.

However many answers grow meanwhile, the loop is asked once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial

from heed.sampling.asked import Asked, Begun, Engine


class Bell:
    """Wakes events of one loop, which is named by `hang` before anybody rings."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._events: set[asyncio.Event] = set()
        self._lock = threading.Lock()

    def hang(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop whose events are woken from now on."""
        self._loop = loop

    def ring(self, event: asyncio.Event) -> None:
        """Wake whoever waits for the event; from any thread."""
        with self._lock:
            first = not self._events
            self._events.add(event)
        if first and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        with self._lock:
            events, self._events = self._events, set()
        for event in events:
            event.set()


class Hearing:
    """Answers under way, and every time that they grew."""

    def __init__(self, bell: Bell, engine: Engine, asked: Asked) -> None:
        self._event = asyncio.Event()
        heard: Callable[[], None] = partial(bell.ring, self._event)
        self.begun: Begun = engine.begin(asked, heard)

    async def turns(self) -> AsyncIterator[None]:
        """A turn whenever something may have come, the last one when all is at an end."""
        while True:
            self._event.clear()  # before one looks: what comes later wakes again
            ended = all(writing.ended for writing in self.begun.writings)
            yield
            if ended:
                return
            await self._event.wait()

    async def end(self) -> Begun:
        """All answers, at their ends. Who is cancelled meanwhile gives their places back."""
        try:
            async for _ in self.turns():
                pass
        finally:
            self.begun.cancel()
        return self.begun
