"""Rejection sampling: the policy imitates the best of its own answers, round by round."""

from __future__ import annotations

from heed.policies.rejection import RejectionSampling, Selection
from heed.recipe import Rejection
from heed.run import StageRun
from heed.stages.kept import keep_policy
from heed.stages.policy_gradient import policy_and_models
from heed.stages.workplace import Summary, Workplace


def rejection(work: Workplace, settings: Rejection, stage: StageRun) -> Summary:
    """Leaves `policy/`."""
    policy, models = policy_and_models(work, settings, stage)
    sampler = work.sampler(policy, settings.sampling, stage.name)
    prompts = work.askable(settings.records, "train", sampler, settings.families)
    method = RejectionSampling(
        policy,
        sampler=sampler,
        prompts=prompts,
        reward=models.reward(settings.reward),
        reference=models.reference(policy, settings.policy),
        selection=Selection(
            prompts=settings.prompts,
            candidates=settings.candidates,
            epochs=settings.epochs,
            batch=settings.batch,
            missing_eos=settings.missing_eos,
            temperature=settings.sampling.temperature,
            micro_tokens=settings.optim.micro_tokens,
        ),
        seed=work.seed(stage.name),
        watch=work.gold,
    )
    summary = work.train(
        stage,
        settings,
        method,
        iterations=settings.rounds,
        monitor=None,
        shown=["proxy", "gold", "kl", "length"],
    )
    keep_policy(stage, policy)
    left_out = work.left_out(settings.records, "train", prompts, settings.families)
    notes = [*summary.get("notes", []), *left_out]
    return {**summary, "notes": notes}
