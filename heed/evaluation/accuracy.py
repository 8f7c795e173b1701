"""How often a reward prefers what was chosen."""

from __future__ import annotations

from collections.abc import Sequence

from heed.types import Comparison, Completion, RewardFn


def correctness(reward: RewardFn, comparisons: Sequence[Comparison]) -> list[float]:
    """1 a comparison where the chosen answer scores higher, 0 where lower, 1/2 where equal."""
    chosen = reward([Completion(item.prompt, item.chosen) for item in comparisons])
    rejected = reward([Completion(item.prompt, item.rejected) for item in comparisons])
    return [beats(a, b) for a, b in zip(chosen, rejected, strict=True)]


def beats(own: float, other: float) -> float:
    """1 where the first score is higher, 0 where it is lower, 1/2 where both are the same."""
    return 0.5 if own == other else float(own > other)
