"""What every policy gradient is wired from; they differ by the baseline and the loss passed in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from heed.losses.kl import KL_LOSSES, kl_penalty
from heed.losses.policy import Aggregate, LogRatio, over_tokens, ppo_clip, token_log_ratio
from heed.models.language_model import save_language_model
from heed.models.reference import Reference
from heed.policies.kl_control import KlController
from heed.policies.policy_gradient import Baseline, PolicyGradient, Surrogate
from heed.recipe import OnPolicy
from heed.run import StageRun
from heed.stages.sft import with_lora
from heed.stages.workplace import Summary, Workplace


def policy_gradient(
    work: Workplace,
    settings: OnPolicy,
    stage: StageRun,
    baseline: Baseline,
    *,
    group: int = 1,
    log_ratio: LogRatio = token_log_ratio,
    aggregate: Aggregate = over_tokens,
    lr_scales: Mapping[str, float] | None = None,
) -> Summary:
    """Leaves `policy/`."""
    policy = with_lora(work.policy(settings.policy), settings.lora, work.seed(stage.name))
    sampler = work.sampler(policy, settings.sampling, stage.name)
    prompts = work.askable(settings.records, "train", sampler, settings.families)
    kl = settings.kl
    method = PolicyGradient(
        policy,
        baseline,
        sampler=sampler,
        prompts=prompts,
        reward=work.reward(settings.reward),
        reference=Reference(policy),
        kl=KlController(kl.coef, kl.target, kl.horizon),
        surrogate=Surrogate(
            rollouts=settings.rollouts,
            group=group,
            epochs=settings.epochs,
            minibatches=settings.minibatches,
            policy_loss=partial(
                ppo_clip,
                clip_low=settings.clip_low,
                clip_high=settings.clip_high,
                log_ratio=log_ratio,
                aggregate=aggregate,
            ),
            kl_loss=partial(kl_penalty, estimate=KL_LOSSES[kl.loss], aggregate=aggregate)
            if kl.loss
            else None,
            entropy_coef=settings.entropy_coef,
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
        iterations=settings.iterations,
        monitor=None,
        shown=["proxy", "gold", "kl", "length"],
        lr_scales=lr_scales,
    )
    if stage.writes:
        save_language_model(policy, stage.directory / "policy")
    left_out = work.left_out(settings.records, "train", prompts, settings.families)
    return {**summary, "kl_coef": method.kl.coef, "notes": [*summary.get("notes", []), *left_out]}
