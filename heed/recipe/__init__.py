"""What a recipe may say."""

from heed.recipe.base import Lora, Optimisation, Sampling, Settings, Stage, TrainingStage
from heed.recipe.feedback import (
    WORLD_PEOPLE,
    Annotators,
    Collect,
    Constitution,
    Judge,
    People,
    Revise,
    Speaker,
)
from heed.recipe.policy_gradient import CriticFree, Grpo, Kl, OnPolicy, Ppo, Reinforce, Rloo
from heed.recipe.recipe import STAGES, Evaluate, Recipe, Records, Report, WorldSettings
from heed.recipe.rubric import Rubric
from heed.recipe.training import Dpo, Pretrain, Reward, Sft

__all__ = [
    "STAGES",
    "WORLD_PEOPLE",
    "Annotators",
    "Collect",
    "Constitution",
    "CriticFree",
    "Dpo",
    "Evaluate",
    "Grpo",
    "Judge",
    "Kl",
    "Lora",
    "OnPolicy",
    "Optimisation",
    "People",
    "Ppo",
    "Pretrain",
    "Recipe",
    "Records",
    "Reinforce",
    "Report",
    "Revise",
    "Reward",
    "Rloo",
    "Rubric",
    "Sampling",
    "Settings",
    "Sft",
    "Speaker",
    "Stage",
    "TrainingStage",
    "WorldSettings",
]
