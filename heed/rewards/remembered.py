"""A reward that is asked once: who watches it need not have the answers scored again."""

from __future__ import annotations

from collections.abc import Sequence

from heed.types import Completion, RewardFn


class Remembered:
    """A RewardFn that keeps what another one said last."""

    def __init__(self, reward: RewardFn) -> None:
        self.reward = reward
        self.scores: list[float] = []

    def __call__(self, completions: Sequence[Completion]) -> list[float]:
        self.scores = self.reward(completions)
        return self.scores
