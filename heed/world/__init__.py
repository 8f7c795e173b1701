"""The embedded world: a small, complete world whose gold reward is known."""

from heed.world.annotators import Person, SimulatedAnnotator, noise_ceiling, preference
from heed.world.gold import Gold, GoldReward
from heed.world.world import World

__all__ = [
    "Gold",
    "GoldReward",
    "Person",
    "SimulatedAnnotator",
    "World",
    "noise_ceiling",
    "preference",
]
