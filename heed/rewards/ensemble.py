"""Several reward models as one reward: what one of them is fooled by, the others doubt.

Coste et al. 2023 (arXiv:2310.02743), section 3: mean, worst case and uncertainty-weighted. Theirs
takes the variance off the mean; here it is the standard deviation, which has the scores' own unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

import numpy as np
from numpy.typing import NDArray

from heed.types import Comparison, Completion, RewardFn

Scores = NDArray[np.float64]
Combine = Callable[[Scores, float], Scores]
"""From scores, members by completions, and a penalty to one score a completion."""

COMBINE: Mapping[str, Combine] = {
    "mean": lambda scores, _: scores.mean(axis=0),
    "minimum": lambda scores, _: scores.min(axis=0),
    "mean_minus_std": lambda scores, penalty: scores.mean(axis=0) - penalty * scores.std(axis=0),
}


class EnsembleReward:
    """A RewardFn that is `combine` of its members' scores."""

    def __init__(self, members: Sequence[RewardFn], combine: Combine, penalty: float) -> None:
        self.members = members
        self.combine = combine
        self.penalty = penalty
        self.spread: list[float] = []
        """The members' standard deviation on each of the answers scored last."""

    def __call__(self, completions: Sequence[Completion]) -> list[float]:
        scores = self.scores(completions)
        self.spread = scores.std(axis=0).tolist()
        values: list[float] = self.combine(scores, self.penalty).tolist()
        return values

    def scores(self, completions: Sequence[Completion]) -> Scores:
        """What each member says, members by completions; their spread is what they doubt."""
        return np.array([member(completions) for member in self.members], dtype=np.float64)


def bootstrap(comparisons: Sequence[Comparison], seed: int) -> list[Comparison]:
    """A resample with replacement of the prompts, each with all its comparisons (Efron 1979).

    Answers to one prompt are alike, so prompts are what is drawn.
    """
    by_prompt: dict[str, list[Comparison]] = {}
    for each in comparisons:
        by_prompt.setdefault(each.prompt.id, []).append(each)
    prompts = list(by_prompt)
    drawn = Random(seed).choices(prompts, k=len(prompts))
    return [each for prompt in drawn for each in by_prompt[prompt]]
