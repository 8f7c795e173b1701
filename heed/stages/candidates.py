"""What answers for a stage that is sampled from: a policy, or a choice among its answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heed import recipe
from heed.policies.best_of_n import BestOfN, kl_bound
from heed.recipe import Sampling, Stage
from heed.types import Sampler

if TYPE_CHECKING:
    from heed.stages.workplace import Workplace


@dataclass(frozen=True)
class Candidate:
    """A sampler, and what its distribution is at most from the one that its log-probs are of.

    `kl_bound` (nats) is None for a policy, whose log-probs are its own.
    """

    sampler: Sampler
    kl_bound: float | None = None


def best_of_n(work: Workplace, settings: recipe.BestOfN, sampling: Sampling) -> Candidate:
    """The best of n by the stage's reward."""
    policy = work.sampler(work.policy(settings.policy), sampling, settings.name)
    return Candidate(
        BestOfN(policy, work.reward(settings.reward), settings.n), kl_bound(settings.n)
    )


CANDIDATES: Mapping[type[Stage], Callable[[Workplace, Any, Sampling], Candidate]] = {
    recipe.BestOfN: best_of_n,
}
"""Stages that answer otherwise than by a policy of their own."""


def candidate_of(work: Workplace, stage: str, sampling: Sampling) -> Candidate:
    """What answers for a stage."""
    settings = work.recipe.stage(stage)
    if type(settings) in CANDIDATES:
        return CANDIDATES[type(settings)](work, settings, sampling)
    return Candidate(work.sampler(work.policy(stage), sampling, stage))
