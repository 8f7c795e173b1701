"""What a recipe may say."""

from heed.recipe.base import (
    Comparisons,
    Lora,
    Optimisation,
    Sampling,
    Settings,
    Stage,
    StageName,
    TrainingStage,
    listed,
)
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
from heed.recipe.preference import LOSSES, Dpo, Kto, LossName
from heed.recipe.recipe import STAGES, Evaluate, Recipe, Records, Report, WorldSettings
from heed.recipe.rounds import Rounds
from heed.recipe.rubric import Rubric
from heed.recipe.training import Confidence, Pretrain, Reward, Sft
from heed.recipe.weak_to_strong import Relabel, WeakToStrong

__all__ = [
    "LOSSES",
    "STAGES",
    "WORLD_PEOPLE",
    "Annotators",
    "Collect",
    "Comparisons",
    "Confidence",
    "Constitution",
    "CriticFree",
    "Dpo",
    "Evaluate",
    "Grpo",
    "Judge",
    "Kl",
    "Kto",
    "Lora",
    "LossName",
    "OnPolicy",
    "Optimisation",
    "People",
    "Ppo",
    "Pretrain",
    "Recipe",
    "Records",
    "Reinforce",
    "Relabel",
    "Report",
    "Revise",
    "Reward",
    "Rloo",
    "Rounds",
    "Rubric",
    "Sampling",
    "Settings",
    "Sft",
    "Speaker",
    "Stage",
    "StageName",
    "TrainingStage",
    "WeakToStrong",
    "WorldSettings",
    "listed",
]
