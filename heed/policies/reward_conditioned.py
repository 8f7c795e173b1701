"""Reward-conditioned fine-tuning: learn answers with their level of reward, ask for the best.

    maximise  log pi(y | level(r(x, y)), x)  over answers good and bad;   then  y ~ pi(. | best, x)

Return-conditioned policies: Chen et al. 2021 (arXiv:2106.01345), section 3. Levels as quantiles of
a pool of samples, put before the prompt: Lu et al. 2022, Quark (arXiv:2205.13636), section 2.1,
here without its KL term; Korbak et al. 2023 (arXiv:2302.08582), section 2, in pretraining.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.stats import rankdata

from heed.policies.in_context import with_system
from heed.types import Completion, Demonstration


def levels_of(scores: Sequence[float], levels: int) -> list[int]:
    """The quantile of each score among all, 1 (lowest) to `levels`.

    level = 1 + floor(levels (rank - 1/2) / n), ranks counted from 1 and meaned over equal scores:
    equal scores share a level, and some levels may have none.
    """
    middle = rankdata(scores, method="average") - 0.5
    return [int(level) for level in 1 + np.floor(levels * middle / len(scores))]


def among_all(_: Sequence[Completion], scores: Sequence[float], levels: int) -> list[int]:
    """The level of each score among all, as Quark has it: easy prompts have high ones."""
    return levels_of(scores, levels)


def among_its_prompts(
    samples: Sequence[Completion], scores: Sequence[float], levels: int
) -> list[int]:
    """The level of each score among those of the same prompt: then a level says how good the
    answer is, and nothing of the prompt.
    """
    groups: dict[str, list[int]] = {}
    for at, each in enumerate(samples):
        groups.setdefault(each.prompt.id, []).append(at)
    found = [0] * len(samples)
    for places in groups.values():
        own = levels_of([scores[at] for at in places], levels)
        for at, level in zip(places, own, strict=True):
            found[at] = level
    return found


LEVELS: Mapping[str, Callable[[Sequence[Completion], Sequence[float], int], list[int]]] = {
    "all": among_all,
    "prompt": among_its_prompts,
}
"""By whose scores a score is ranked among."""


def conditioned(
    samples: Sequence[Completion], levels: Sequence[int], say: Callable[[int], str]
) -> list[Demonstration]:
    """Every sample as a demonstration, behind a system message that says its level."""
    return [
        Demonstration(with_system(each.prompt, say(level)), each.text)
        for each, level in zip(samples, levels, strict=True)
    ]
