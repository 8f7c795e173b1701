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
from heed.recipe.recipe import STAGES, Evaluate, Recipe, Records, Report, WorldSettings
from heed.recipe.rubric import Rubric
from heed.recipe.training import (
    WORLD_FAMILIES,
    Confidence,
    Dpo,
    Kl,
    Ppo,
    Pretrain,
    Reward,
    Sft,
)
from heed.recipe.weak_to_strong import Relabel, WeakToStrong

__all__ = [
    "STAGES",
    "WORLD_FAMILIES",
    "WORLD_PEOPLE",
    "Annotators",
    "Collect",
    "Confidence",
    "Constitution",
    "Dpo",
    "Evaluate",
    "Judge",
    "Kl",
    "Lora",
    "Optimisation",
    "People",
    "Ppo",
    "Pretrain",
    "Recipe",
    "Records",
    "Relabel",
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
    "WeakToStrong",
    "WorldSettings",
]
