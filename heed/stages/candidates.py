"""What answers for a stage that is sampled from: a policy, what asks it, or what chooses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heed import recipe
from heed.policies.best_of_n import BestOfN
from heed.policies.in_context import InContext
from heed.recipe import Sampling, Stage
from heed.sampling.local import LocalSampler
from heed.stages.contexts import CONTEXTS
from heed.stats.best_of_n import kl_bound
from heed.types import Prompt, Sampler

if TYPE_CHECKING:
    from heed.stages.workplace import Workplace


@dataclass(frozen=True)
class Candidate:
    """A sampler, and what its distribution is at most from the one that its log-probs are of.

    `kl_bound` (nats) is None for a policy, whose log-probs are its own. `notes` says what there is
    to say of how it asks some prompts.
    """

    sampler: Sampler
    kl_bound: float | None = None
    notes: Callable[[Sequence[Prompt]], list[str]] = lambda _: []


def best_of_n(work: Workplace, settings: recipe.BestOfN, sampling: Sampling) -> Candidate:
    """The best of n by the stage's reward."""
    inner = _asked(work, settings.policy, sampling, settings.name)
    best = BestOfN(inner.sampler, work.reward(settings.reward), settings.n)
    return Candidate(best, kl_bound(settings.n), inner.notes)


def in_context(
    work: Workplace, settings: recipe.SystemPrompt | recipe.Retrieval, sampling: Sampling
) -> Candidate:
    """A policy asked with more before the prompt."""
    policy = work.sampler(work.policy(settings.policy), sampling, settings.name)
    return _behind(work, settings, policy)


CANDIDATES: Mapping[type[Stage], Callable[[Workplace, Any, Sampling], Candidate]] = {
    recipe.BestOfN: best_of_n,
    recipe.SystemPrompt: in_context,
    recipe.Retrieval: in_context,
}
"""Stages that answer otherwise than by a policy of their own."""


def candidate_of(work: Workplace, stage: str, sampling: Sampling) -> Candidate:
    """What answers for a stage."""
    settings = work.recipe.stage(stage)
    if type(settings) in CANDIDATES:
        return CANDIDATES[type(settings)](work, settings, sampling)
    return _asked(work, stage, sampling, stage)


def as_it_wants(work: Workplace, stage: str, policy: LocalSampler) -> Candidate:
    """A stage's policy, with what it is to be asked with before the prompt."""
    settings = work.recipe.stage(stage)
    return _behind(work, settings, policy) if settings.conditioned else Candidate(policy)


def _asked(work: Workplace, stage: str, sampling: Sampling, name: str) -> Candidate:
    return as_it_wants(work, stage, work.sampler(work.policy(stage), sampling, name))


def _behind(work: Workplace, settings: Stage, policy: LocalSampler) -> Candidate:
    asking = InContext(policy, CONTEXTS[type(settings)](work, settings))
    return Candidate(asking, notes=asking.notes)
