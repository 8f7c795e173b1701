"""What a training stage leaves: weights whole, written by the first process."""

from __future__ import annotations

from dataclasses import replace

from heed.models.language_model import LanguageModel, save_language_model
from heed.models.reward_model import RewardModel, save_reward_model
from heed.models.sharding import whole_in_first
from heed.run import StageRun


def keep_policy(stage: StageRun, policy: LanguageModel) -> None:
    """Leave `policy/`. All processes must come here: each has a part of sharded weights."""
    with whole_in_first(policy.model) as model:
        if stage.writes:
            save_language_model(replace(policy, model=model), stage.directory / "policy")


def keep_reward_model(stage: StageRun, reward: RewardModel) -> None:
    """Leave `model/`. All processes must come here."""
    with whole_in_first(reward.model) as model:
        if stage.writes:
            save_reward_model(replace(reward, model=model), stage.directory / "model")
