"""Scores of answers, for many requests at once: whoever asks while others are scored waits for the
next turn, in which all are scored together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from heed.types import Completion, RewardFn


class Scorer:
    """A reward function, asked from the event loop; it runs in a thread, one call at a time."""

    def __init__(self, name: str, reward: RewardFn) -> None:
        self.name = name
        self._reward = reward
        self._waiting: list[tuple[Sequence[Completion], asyncio.Future[list[float]]]] = []
        self._at_work: asyncio.Task[None] | None = None

    async def scores(self, completions: Sequence[Completion]) -> list[float]:
        """One score a completion."""
        if not completions:
            return []
        mine: asyncio.Future[list[float]] = asyncio.get_running_loop().create_future()
        self._waiting.append((completions, mine))
        if self._at_work is None or self._at_work.done():
            self._at_work = asyncio.create_task(self._work())
        return await mine

    async def _work(self) -> None:
        while self._waiting:
            turn, self._waiting = self._waiting, []
            turn = [(some, future) for some, future in turn if not future.done()]
            together = [each for some, _ in turn for each in some]
            try:
                scores = await asyncio.to_thread(self._reward, together)
            except Exception as error:  # whoever waits for these hears it, the next may fare better
                for _, future in turn:
                    if not future.done():
                        future.set_exception(error)
                continue
            for some, future in turn:
                own, scores = scores[: len(some)], scores[len(some) :]
                if not future.done():
                    future.set_result(own)
