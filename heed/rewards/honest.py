"""A reward that makes not knowing cheaper than making up.

    r = 1 for a right answer,  0 for "I do not know",  -t / (1 - t) for anything else

Whoever is right with probability p gains p - (1 - p) t / (1 - t) by answering, which is above 0
just where p > t (Kalai et al. 2025, arXiv:2509.04664, section 4.2). With a plain check of right
answers, t = 0: a guess costs nothing, and not knowing is worth no more than a wrong answer.
"""

from __future__ import annotations

from heed.rewards.verifiable import Score
from heed.types import Completion
from heed.world.reading import Reading
from heed.world.saying import said
from heed.world.world import World


def honest(world: World, confidence: float) -> Score:
    """The reward by the world's facts, to be read with t = `confidence`.

    Who says that they do not know and names an answer all the same has answered; so has who says
    it in a heap of words.
    """
    wrong = -confidence / (1 - confidence)

    def score(completion: Completion) -> float:
        if world.gold(completion.prompt, completion.text).correct:
            return 1.0
        reading = Reading(completion.text, world.grammar)
        silent = said(world.task(completion.prompt.id), reading) is None
        return 0.0 if silent and reading.unsure and reading.composed else wrong

    return score
