"""PPO: the policy against the reward model, with a critic, on a KL leash."""

from __future__ import annotations

from heed.models.language_model import save_language_model
from heed.models.reference import Reference
from heed.policies.kl_control import KlController
from heed.policies.policy_gradient import PolicyGradient, Surrogate
from heed.policies.ppo import Critic
from heed.recipe import Ppo
from heed.run import StageRun
from heed.stages.sft import with_lora
from heed.stages.workplace import Summary, Workplace


def ppo(work: Workplace, settings: Ppo, stage: StageRun) -> Summary:
    """Leaves `policy/`."""
    policy = with_lora(work.policy(settings.policy), settings.lora, work.seed(stage.name))
    critic = Critic(
        work.value_model(settings.reward, policy),
        gamma=settings.gamma,
        lam=settings.lam,
        clip=settings.value_clip,
        coef=settings.value_coef,
        micro_tokens=settings.optim.micro_tokens,
    )
    sampler = work.sampler(policy, settings.sampling, stage.name)
    prompts = work.askable(settings.records, "train", sampler)
    method = PolicyGradient(
        policy,
        critic,
        sampler=sampler,
        prompts=prompts,
        reward=work.reward(settings.reward),
        reference=Reference(policy),
        kl=KlController(settings.kl.coef, settings.kl.target, settings.kl.horizon),
        surrogate=Surrogate(
            rollouts=settings.rollouts,
            epochs=settings.epochs,
            minibatches=settings.minibatches,
            clip=settings.clip,
            entropy_coef=settings.entropy_coef,
            missing_eos=settings.missing_eos,
            whiten_rewards=settings.whiten_rewards,
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
        lr_scales={"baseline": settings.value_lr_scale},
    )
    if stage.writes:
        save_language_model(policy, stage.directory / "policy")
    notes = [*summary.get("notes", []), *work.left_out(settings.records, "train", prompts)]
    return {**summary, "kl_coef": method.kl.coef, "notes": notes}
