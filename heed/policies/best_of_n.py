"""Best of n: draw n answers, give the one that the reward likes best; no weight moves.

    y = argmax r(x, y_i),   y_1 ... y_n ~ pi(. | x)

Stiennon et al. 2020 (arXiv:2009.01325); Nakano et al. 2021 (arXiv:2112.09332).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heed.types import Completion, Prompt, RewardFn, Sampler


@dataclass(frozen=True)
class BestOfN:
    """A Sampler around another: each of its answers is the best of `n`, the first among equals.

    Its completions carry the log-probs of the policy that was drawn from. With n = 1 it is that
    sampler, seed for seed.
    """

    sampler: Sampler
    reward: RewardFn
    n: int

    def sample(self, prompts: Sequence[Prompt], *, n: int = 1, seed: int = 0) -> list[Completion]:
        drawn = self.sampler.sample(prompts, n=n * self.n, seed=seed)
        scores = self.reward(drawn) if drawn else []
        groups = range(0, len(drawn), self.n)
        return [drawn[max(range(at, at + self.n), key=scores.__getitem__)] for at in groups]


def best_places(scores: Float[Tensor, "P N"], finished: Bool[Tensor, "P N"]) -> list[int]:
    """Where, row by row, the best finished answer to each prompt stands, if it beats another one.

    Of answers that all score the same none is worth imitating: that would only add noise.
    """
    best = scores.masked_fill(~finished, -torch.inf).max(1)
    places = best.indices + scores.shape[1] * torch.arange(len(scores))
    chosen: list[int] = places[best.values > scores.amin(1)].tolist()
    return chosen
