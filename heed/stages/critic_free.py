"""RLOO, GRPO and REINFORCE++: the policy against a reward, without a critic."""

from __future__ import annotations

from heed.losses.policy import LOG_RATIOS, aggregations
from heed.policies.grpo import grpo
from heed.policies.others import Others
from heed.policies.reinforce import reinforce
from heed.policies.rloo import rloo
from heed.recipe import CriticFree, Grpo, Reinforce, Rloo
from heed.run import StageRun
from heed.stages.policy_gradient import policy_gradient
from heed.stages.workplace import Summary, Workplace


def rloo_stage(work: Workplace, settings: Rloo, stage: StageRun) -> Summary:
    """Leaves `policy/`."""
    return _critic_free(work, settings, stage, rloo(settings.group))


def grpo_stage(work: Workplace, settings: Grpo, stage: StageRun) -> Summary:
    """Leaves `policy/`."""
    return _critic_free(work, settings, stage, grpo(settings.group, std=settings.std))


def reinforce_stage(work: Workplace, settings: Reinforce, stage: StageRun) -> Summary:
    """Leaves `policy/`."""
    return _critic_free(work, settings, stage, reinforce(settings.group))


def _critic_free(
    work: Workplace, settings: CriticFree, stage: StageRun, baseline: Others
) -> Summary:
    return policy_gradient(
        work,
        settings,
        stage,
        lambda _: baseline,
        group=settings.group,
        log_ratio=LOG_RATIOS[settings.ratio],
        aggregate=aggregations(settings.sampling.max_new_tokens)[settings.aggregation],
    )
