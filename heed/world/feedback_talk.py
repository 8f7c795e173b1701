"""Talk about answers: which of two is better, what is wrong with one, and the same again, better.

A model that has read such dialogues can judge, critique and revise, in plain words of the world.
What counts as better and as wrong is decided by the gold scores, without noise; the dialogues hold
train prompts only. They are no part of the world's corpus or demonstrations: who wants them asks.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heed.types import Demonstration, Message, Prompt
from heed.world.gold import Gold
from heed.world.grammar import tokens

if TYPE_CHECKING:
    from heed.world.world import World

FAMILY = "feedback"
COMPARE = "{question} Question: {prompt} Answer A: {left} Answer B: {right}"
LEFT, RIGHT, ALIKE = "Answer A.", "Answer B.", "Both are alike."

HARMFUL = "It helps with harm."
RUDE = "It is rude."
WRONG = "It is not right."
LONG = "It is too long."
FAULTLESS = "It is fine."

MANY_WORDS = 18
"""More words than this are too many; the world's rambling answers have some twenty and more."""


@dataclass(frozen=True)
class Principle:
    """What an answer should be, how one asks for it, and how the gold scores decide.

    `compare` asks which of two answers is more so, `critique` whether one is not, `revise` for one
    that is. Answers whose `worth` differs by less than `step` are alike; `fault` is what is wrong.
    """

    compare: str
    critique: str
    revise: str
    worth: Callable[[Gold], float]
    fault: Callable[[Gold], str]
    step: float = 1.0


def _harm(gold: Gold) -> str:
    return HARMFUL if gold.harmful else FAULTLESS


def _rudeness(gold: Gold) -> str:
    return RUDE if gold.rude else FAULTLESS


def _error(gold: Gold) -> str:
    return FAULTLESS if gold.correct or gold.hedged else WRONG


def _length(gold: Gold) -> str:
    return LONG if gold.words > MANY_WORDS else FAULTLESS


def _worst(gold: Gold) -> str:
    faults = (find(gold) for find in (_harm, _rudeness, _error, _length))
    return next((fault for fault in faults if fault != FAULTLESS), FAULTLESS)


PRINCIPLES: Mapping[str, Principle] = {
    "good": Principle(
        "Which answer is better?",
        "What is wrong with that answer?",
        "Please answer again, and better.",
        worth=lambda gold: gold.total,
        fault=_worst,
        step=0.1,
    ),
    "harmless": Principle(
        "Which answer helps less with harm?",
        "Does that answer help with harm?",
        "Please answer again, and do not help with harm.",
        worth=lambda gold: -float(gold.harmful),
        fault=_harm,
    ),
    "polite": Principle(
        "Which answer is more polite?",
        "Is that answer rude?",
        "Please answer again, and be polite.",
        worth=lambda gold: -1.0 if gold.rude else float(gold.courteous),
        fault=_rudeness,
    ),
    "right": Principle(
        "Which answer is right?",
        "Is that answer wrong?",
        "Please answer again, and get it right.",
        worth=lambda gold: 2.0 if gold.correct else float(gold.hedged),
        fault=_error,
    ),
    "short": Principle(
        "Which answer is shorter?",
        "Is that answer too long?",
        "Please answer again, and keep it short.",
        worth=lambda gold: -float(gold.words),
        fault=_length,
        step=8.0,
    ),
}
REDRAWS = 2
"""How often two answers that came out alike are drawn again: few ties are enough to learn them."""


def verdict(principle: Principle, left: Gold, right: Gold) -> str:
    """Which of two answers a principle prefers, in words."""
    gap = principle.worth(left) - principle.worth(right)
    if abs(gap) < principle.step:
        return ALIKE
    return LEFT if gap > 0 else RIGHT


def words() -> set[str]:
    """Every word and mark of such talk, prompts and answers aside."""
    asked = (text for p in PRINCIPLES.values() for text in (p.compare, p.critique, p.revise))
    said = (COMPARE.format(question="", prompt="", left="", right=""), LEFT, RIGHT, ALIKE)
    faults = (HARMFUL, RUDE, WRONG, LONG, FAULTLESS)
    return {token for text in (*asked, *said, *faults) for token in tokens(text)}


@dataclass(frozen=True)
class Talk:
    """Writes dialogues about answers to a world's prompts.

    `web` gives an answer to a prompt as the corpus has them, `demonstrated` as people show them.
    """

    world: World
    rng: random.Random
    web: Callable[[Prompt], str]
    demonstrated: Callable[[Prompt], str]

    def judging(self, prompt: Prompt, principle: Principle) -> tuple[list[str], str]:
        """Two answers, one of the corpus and one demonstrated, sides at random."""
        for _ in range(1 + REDRAWS):
            texts = [self.web(prompt), self.demonstrated(prompt)]
            self.rng.shuffle(texts)
            left, right = (self.world.gold(prompt, text) for text in texts)
            said = verdict(principle, left, right)
            if said != ALIKE:
                break
        asked = COMPARE.format(
            question=principle.compare, prompt=prompt.text, left=texts[0], right=texts[1]
        )
        return [asked], said

    def critique(self, prompt: Prompt, principle: Principle) -> tuple[list[str], str]:
        """An answer of the corpus, and what is wrong with it."""
        answer = self.web(prompt)
        fault = principle.fault(self.world.gold(prompt, answer))
        return [prompt.text, answer, principle.critique], fault

    def revision(self, prompt: Prompt, principle: Principle) -> tuple[list[str], str]:
        """The same, and a good answer instead; an answer without fault is given again."""
        (asked, answer, critique), fault = self.critique(prompt, principle)
        again = answer if fault == FAULTLESS else self.world.answer(prompt, "good", self.rng)
        return [asked, answer, critique, fault, principle.revise], again


KINDS: Mapping[str, tuple[float, Callable[[Talk, Prompt, Principle], tuple[list[str], str]]]] = {
    "judging": (0.5, Talk.judging),
    "critique": (0.2, Talk.critique),
    "revision": (0.3, Talk.revision),
}
"""Share of each kind of dialogue, and what writes it: turns, user first, and the last answer."""


def dialogues(talk: Talk, prompts: Sequence[Prompt]) -> list[Demonstration]:
    """One dialogue a prompt, its kind and principle drawn at random."""
    made = []
    shares = [share for share, _ in KINDS.values()]
    for number, prompt in enumerate(prompts):
        kind = talk.rng.choices(tuple(KINDS), weights=shares)[0]
        name = talk.rng.choice(tuple(PRINCIPLES))
        turns, answer = KINDS[kind][1](talk, prompt, PRINCIPLES[name])
        asked = Prompt(f"{FAMILY}/{kind}/{name}/{number}", conversation(turns), FAMILY)
        made.append(Demonstration(asked, answer))
    return made


def conversation(turns: Sequence[str]) -> tuple[Message, ...]:
    """Turns of a user and an assistant, the user's first."""
    return tuple(Message("assistant" if at % 2 else "user", text) for at, text in enumerate(turns))
