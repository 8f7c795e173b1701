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
from heed.recipe.preference import LOSSES, Dpo, Kto, LossName
from heed.recipe.recipe import STAGES, Evaluate, Recipe, Records, Report, WorldSettings
from heed.recipe.rubric import Rubric
from heed.recipe.training import Kl, Ppo, Pretrain, Reward, Sft

__all__ = [
    "LOSSES",
    "STAGES",
    "WORLD_PEOPLE",
    "Annotators",
    "Collect",
    "Constitution",
    "Dpo",
    "Evaluate",
    "Judge",
    "Kl",
    "Kto",
    "Lora",
    "LossName",
    "Optimisation",
    "People",
    "Ppo",
    "Pretrain",
    "Recipe",
    "Records",
    "Report",
    "Revise",
    "Reward",
    "Rubric",
    "Sampling",
    "Settings",
    "Sft",
    "Speaker",
    "Stage",
    "TrainingStage",
    "WorldSettings",
]
