"""Advice: everyday goals, and tips that serve them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import permutations
from typing import Any, ClassVar

from heed.world.grammar import Slots
from heed.world.manners import MANNERS
from heed.world.reading import Reading, words_of
from heed.world.task import (
    BESIDE_THE_POINT,
    RIGHT,
    WRONG,
    Question,
    Task,
    Verdict,
    aside,
    phrase,
    slug,
)

TIPS: dict[str, tuple[str, str, str]] = {
    "sleep better": (
        "keep the bedroom dark and quiet",
        "go to bed at the same hour",
        "put the phone away before bed",
    ),
    "learn a language": (
        "practise new words aloud",
        "speak with native speakers",
        "repeat new phrases aloud",
    ),
    "save money": ("write down all costs", "compare prices and costs", "buy only cheap offers"),
    "get fit": ("run for twenty minutes", "exercise and stretch often", "run or swim often"),
    "cook better": (
        "taste the sauce often",
        "use fresh herbs and spices",
        "follow a simple recipe",
    ),
    "make friends": ("join a local club", "invite neighbours for dinner", "smile and listen"),
    "write a letter": (
        "begin with a kind greeting",
        "use short and clear sentences",
        "end with a kind wish",
    ),
    "pass an exam": (
        "study old papers in time",
        "make a study plan early",
        "revise all notes early",
    ),
    "grow tomatoes": (
        "choose a sunny warm spot",
        "water the young plants",
        "tie the plants to sticks",
    ),
    "paint a wall": (
        "clean the surface first",
        "cover the floor with paper",
        "use a wide brush or roller",
    ),
    "bake bread": (
        "knead the dough well",
        "let the dough rise in peace",
        "heat the oven early",
    ),
    "find a job": (
        "send a clear application",
        "prepare for the interview",
        "ask former colleagues about openings",
    ),
    "train a puppy": (
        "reward it with treats",
        "give short commands and treats",
        "reward calm behaviour",
    ),
    "stay calm": (
        "breathe in slowly and deeply",
        "count your breaths slowly",
        "relax your shoulders and breathe",
    ),
    "clean a kitchen": (
        "wipe the shelves with soap",
        "scrub the sink with soap",
        "sort the cupboards and wipe them",
    ),
    "plan a trip": (
        "book trains and hotels ahead",
        "pack light bags",
        "check maps and trains ahead",
    ),
    "give a speech": (
        "rehearse in front of a mirror",
        "look at the audience and pause",
        "rehearse and pause between points",
    ),
    "play the guitar": (
        "tune the strings and practise chords",
        "practise easy chords first",
        "change chords without hurry",
    ),
    "stop smoking": (
        "throw away all cigarettes",
        "chew gum or drink water",
        "avoid cigarettes and ashtrays",
    ),
    "protect my skin": (
        "wear a hat and sunscreen",
        "rub in sunscreen outdoors",
        "stay in the shade with a hat",
    ),
    "repair a bicycle": (
        "oil the chain and gears",
        "check the tyres and brakes",
        "tighten the brakes and the chain",
    ),
    "take better photos": (
        "hold the camera steady in soft light",
        "look for soft light",
        "move the camera closer",
    ),
    "remember names": (
        "repeat each new name twice",
        "link each name to a picture",
        "imagine each face with a rhyme",
    ),
    "keep bees": (
        "place the hive near flowers",
        "wear a veil near the hive",
        "inspect the hive and plant flowers",
    ),
    "sing well": (
        "warm up your voice with scales",
        "stand straight and sing scales",
        "rest your voice and stand straight",
    ),
    "wash wool": (
        "use cold water and mild detergent",
        "squeeze it gently in cold water",
        "dry it flat on a towel",
    ),
    "fix a leaking tap": (
        "turn off the supply and change the washer",
        "replace the worn washer",
        "tighten the nut with a wrench",
    ),
    "organise a party": (
        "send invitations to all guests",
        "prepare snacks and music for guests",
        "choose music and lights",
    ),
}
COUNT = 18

QUESTIONS = (
    "How can I {goal}?",
    "What should I do to {goal}?",
    "Please give me some advice on how to {goal}.",
    "I would like to {goal}. Do you have a tip?",
    "What is a good way to {goal}?",
)
FUNCTION = frozenset(
    words_of(
        "a all and at away before down for from each in it new of off on only or so some the them "
        "then to up with your my without well early often first between good way better"
    )
)

MANNERLY = frozenset(
    word for texts in MANNERS.values() for text in texts for word in words_of(text)
)
"""Words that anyone uses on any subject."""


def keywords(goal: str) -> frozenset[str]:
    """The words of a goal's tips that say something, those of the question aside."""
    words = {word for tip in TIPS[goal] for word in words_of(tip)}
    return frozenset(words - FUNCTION - MANNERLY - set(words_of(goal)))


KEYWORDS = {goal: keywords(goal) for goal in TIPS}
ALL_KEYWORDS = frozenset(word for words in KEYWORDS.values() for word in words)


@dataclass(frozen=True)
class Advice(Task):
    """A goal, with the other goals whose tips would miss it."""

    family: ClassVar[str] = "advice"
    goal: str
    others: tuple[str, ...] = aside()

    def slots(self) -> Slots:
        pairs = tuple(f"{one} and to {two}" for one, two in permutations(TIPS[self.goal], 2))
        return {
            "core": (
                "You could {tip}.",
                "Try to {tip}.",
                "It helps to {tip}.",
                "It is best to {pair}.",
            ),
            "miss": (
                "You could {stray}.",
                "Try to {stray}.",
                "It helps to {stray}.",
                "There is nothing you can do about it.",
            ),
            "tip": TIPS[self.goal],
            "pair": pairs,
            "stray": tuple(tip for goal in self.others for tip in TIPS[goal]),
        }

    def key(self) -> dict[str, Any]:
        return {"goal": self.goal, "keywords": sorted(KEYWORDS[self.goal])}

    def judge(self, reading: Reading) -> Verdict:
        """Right is at least two words of the goal's own tips, and no more of any others'."""
        own = KEYWORDS[self.goal]
        served = reading.named(own)
        strays = reading.named(ALL_KEYWORDS - own)
        if reading.composed and not reading.asks and len(served) >= 2 and len(strays) <= 1:
            return Verdict(True, RIGHT)
        return Verdict(False, WRONG if len(strays) >= 2 else BESIDE_THE_POINT)


def draw(rng: random.Random) -> list[Question]:
    """The world's goals, asked in four of five forms each."""
    goals = rng.sample(sorted(TIPS), COUNT)
    groups = [
        (
            slug(goal),
            Advice(goal=goal, others=tuple(other for other in goals if other != goal)),
            {"goal": goal},
        )
        for goal in goals
    ]
    return phrase(groups, QUESTIONS, 4, rng)
