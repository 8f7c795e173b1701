"""Rewards made of rewards: weighted sums, gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from heed.types import Completion, RewardFn


@dataclass(frozen=True)
class WeightedSum:
    """r(x, y) = sum over parts of weight * r_part(x, y)."""

    parts: Mapping[str, tuple[float, RewardFn]]

    def __call__(self, completions: Sequence[Completion]) -> list[float]:
        totals = [0.0] * len(completions)
        for weight, reward in self.parts.values():
            scores = reward(completions)
            totals = [total + weight * score for total, score in zip(totals, scores, strict=True)]
        return totals


@dataclass(frozen=True)
class Gate:
    """r(x, y) = reward where by(x, y) >= threshold, else `closed`.

    Only answers before an open gate are given to the reward.
    """

    reward: RewardFn
    by: RewardFn
    threshold: float
    closed: float

    def __call__(self, completions: Sequence[Completion]) -> list[float]:
        passed = [score >= self.threshold for score in self.by(completions)]
        through = [each for each, open_ in zip(completions, passed, strict=True) if open_]
        scores = iter(self.reward(through) if through else ())
        return [next(scores) if open_ else self.closed for open_ in passed]
