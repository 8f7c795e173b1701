"""What every policy gradient is wired from; they differ by the baseline and the loss passed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from heed.losses.kl import KL_LOSSES, kl_penalty
from heed.losses.policy import Aggregate, LogRatio, over_tokens, ppo_clip, token_log_ratio
from heed.models.language_model import LanguageModel
from heed.policies.kl_control import KlController
from heed.policies.policy_gradient import Baseline, PolicyGradient, Surrogate
from heed.recipe import OnPolicy, Rejection
from heed.rewards.remembered import Remembered
from heed.run import StageRun
from heed.stages.drawn import Drawn
from heed.stages.elsewhere import drawing
from heed.stages.gates import Keeper, ask_before
from heed.stages.kept import keep_policy
from heed.stages.sft import learner
from heed.stages.watching import Beside, measures
from heed.stages.workplace import Summary, Workplace


def policy_gradient(
    work: Workplace,
    settings: OnPolicy,
    stage: StageRun,
    make_baseline: Callable[[Workplace], Baseline],
    *,
    group: int = 1,
    log_ratio: LogRatio = token_log_ratio,
    aggregate: Aggregate = over_tokens,
    lr_scales: Mapping[str, float] | None = None,
) -> Summary:
    """Leaves `policy/`, and some of the answers drawn on the way.

    The baseline's model has a base of its own, or the policy's.
    """
    policy, models = policy_and_models(work, settings, stage)
    sampler = work.sampler(policy, settings.sampling, stage.name)
    prompts = work.askable(settings.records, "train", sampler, settings.families)
    kl, gates = settings.kl, work.recipe.gates
    with drawing(work, settings, stage, sampler, log_ratio) as draws:
        reward = Remembered(models.reward(settings.reward))
        method = PolicyGradient(
            policy,
            make_baseline(models),
            sampler=draws.sampler,
            prompts=prompts,
            reward=reward,
            reference=models.reference(policy, settings.policy),
            kl=KlController(kl.coef, kl.target, kl.horizon),
            surrogate=_surrogate(settings, group, log_ratio, aggregate),
            seed=work.seed(stage.name),
            watch={**work.gold, **measures(gates, reward)},
            ahead=draws.rounds,
        )
        keeper = Keeper(work, stage, settings.iterations, settings.checkpoint_every)
        looks = gates.overoptimisation.asked
        beside = [Beside(work, settings, stage, sampler, reward)] if looks else []
        ask_before(work, stage, method)
        summary = work.train(
            stage,
            settings,
            method,
            iterations=settings.iterations,
            monitor=keeper.monitor,
            shown=["proxy", "gold", "kl", "length"],
            callbacks=[*beside, keeper, Drawn(stage, method, settings.iterations)],
            lr_scales=lr_scales,
        )
    keep_policy(stage, policy)
    left_out = work.left_out(settings.records, "train", prompts, settings.families)
    notes = [*summary.get("notes", []), *left_out]
    return {**summary, "kl_coef": method.kl.coef, "notes": notes}


def policy_and_models(
    work: Workplace, settings: OnPolicy | Rejection, stage: StageRun
) -> tuple[LanguageModel, Workplace]:
    """The policy that trains, under its adapter if it has one, and where to get the models that
    serve it: with `lora.share` they stand on its base.
    """
    # Gates look at the policy in float32, also where half precision is what it trains in: then it
    # is sharded only as the training begins.
    early = settings.shard and not work.half
    policy = learner(work, settings, stage.name, split=early)
    shared = settings.lora is not None and settings.lora.share
    return policy, work.sharing(policy) if shared else work.splitting(settings)


def _surrogate(
    settings: OnPolicy, group: int, log_ratio: LogRatio, aggregate: Aggregate
) -> Surrogate:
    """How a round of samples is used."""
    kl = settings.kl
    return Surrogate(
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
    )
