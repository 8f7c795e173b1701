"""PPO: the policy against the reward model, with a critic, on a KL leash."""

from __future__ import annotations

from heed.policies.ppo import Critic
from heed.recipe import Ppo
from heed.run import StageRun
from heed.stages.policy_gradient import policy_gradient
from heed.stages.workplace import Summary, Workplace


def ppo(work: Workplace, settings: Ppo, stage: StageRun) -> Summary:
    """Leaves `policy/`."""

    def critic(models: Workplace) -> Critic:
        return Critic(
            models.value_model(settings.reward, settings.policy),
            gamma=settings.gamma,
            lam=settings.lam,
            clip=settings.value_clip,
            coef=settings.value_coef,
            whiten_rewards=settings.whiten_rewards,
            micro_tokens=settings.optim.micro_tokens,
        )

    scales = {"baseline": settings.value_lr_scale}
    return policy_gradient(work, settings, stage, critic, lr_scales=scales)
