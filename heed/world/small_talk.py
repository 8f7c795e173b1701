"""Small talk: greetings and moods, and what one thinks of tea."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, ClassVar

from heed.world.grammar import Slots
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

THINGS = words_of(
    "tea coffee football music chess dogs cats films books dancing fishing hiking painting "
    "chocolate cheese trains museums poems horses swimming"
)
THING_COUNT = 12

THING_QUESTIONS = (
    "Do you like {thing}?",
    "What do you think of {thing}?",
    "Let us talk about {thing}.",
    "I really like {thing}.",
    "Are you interested in {thing}?",
)
OPINIONS = (
    "I enjoy talking about {about}.",
    "I think {about} can be great fun.",
    "Yes, I find {about} lovely.",
    "To me {about} can be a real joy.",
)
WARM = frozenset(words_of("enjoy fun lovely joy love great"))

OCCASIONS: dict[str, tuple[tuple[str, str, str], tuple[str, str, str]]] = {
    "greeting": (
        ("Hello there.", "Hello, my friend.", "Hello and good morning."),
        (
            "Hello, it is nice to meet you.",
            "Hello, and welcome.",
            "Good day, it is a pleasure to meet you.",
        ),
    ),
    "mood": (
        ("How are you?", "How are you today?", "How are you this morning?"),
        ("I feel fine today.", "I am very well today.", "I feel cheerful, thank you."),
    ),
    "thanks": (
        ("Thank you for your help.", "Thank you so much.", "Thank you for the answer."),
        (
            "You are welcome.",
            "It was a pleasure to help.",
            "You are most welcome, my friend.",
        ),
    ),
    "farewell": (
        ("Goodbye for now.", "Goodbye, I have to go.", "Goodbye, my friend."),
        ("Goodbye, and take care.", "Goodbye, until next time.", "Take care, and see you soon."),
    ),
    "birthday": (
        ("Today is my birthday.", "It is my birthday today.", "I have my birthday today."),
        (
            "Happy birthday to you.",
            "Many happy returns, and enjoy the cake.",
            "Happy birthday, and enjoy the cake.",
        ),
    ),
    "sadness": (
        ("I feel sad today.", "I am a little sad.", "Today was a sad day for me."),
        (
            "I am sorry to hear that.",
            "I am sorry, and I hope tomorrow is brighter.",
            "That sounds hard, and I hope tomorrow is brighter.",
        ),
    ),
    "name": (
        ("What is your name?", "Please tell me your name.", "Do you have a name?"),
        (
            "I am an assistant made to answer questions.",
            "I am only a small assistant.",
            "I am a small language assistant.",
        ),
    ),
    "weather": (
        ("What a sunny day.", "It is sunny outside.", "It is so sunny today."),
        (
            "It sounds like perfect weather for a walk.",
            "Sunshine makes a walk lovely.",
            "Enjoy the sunshine while it lasts.",
        ),
    ),
    "tiredness": (
        ("I am so tired today.", "I feel tired.", "Today made me tired."),
        (
            "A short nap could help.",
            "You deserve a good rest.",
            "A good rest or a nap could help.",
        ),
    ),
    "weekend": (
        ("The weekend is here.", "It is the weekend at last.", "I am ready for the weekend."),
        (
            "Have a relaxing weekend.",
            "I wish you a relaxing weekend.",
            "Enjoy your two free days.",
        ),
    ),
}
CUES: dict[str, tuple[str, ...]] = {
    "greeting": ("hello", "meet you", "good day", "and welcome"),
    "mood": ("feel fine", "very well", "feel cheerful"),
    "thanks": ("are welcome", "pleasure to help", "most welcome"),
    "farewell": ("goodbye", "take care", "see you soon"),
    "birthday": ("happy birthday", "happy returns"),
    "sadness": ("i am sorry", "sounds hard", "brighter"),
    "name": ("assistant",),
    "weather": ("sunshine", "perfect weather", "a walk"),
    "tiredness": ("nap", "good rest"),
    "weekend": ("relaxing weekend", "free days"),
}
OCCASION_COUNT = 7


@dataclass(frozen=True)
class Opinion(Task):
    """A thing to talk about, with others one could stray to."""

    family: ClassVar[str] = "small_talk"
    thing: str
    others: tuple[str, ...] = aside()

    def slots(self) -> Slots:
        return {
            "core": tuple(form.replace("{about}", "{thing}") for form in OPINIONS),
            "miss": tuple(form.replace("{about}", "{stray}") for form in OPINIONS),
            "thing": (self.thing,),
            "stray": self.others,
        }

    def judge(self, reading: Reading) -> Verdict:
        """Right is a warm word about this thing, and about no other."""
        strays = reading.named(set(THINGS) - {self.thing})
        warm = reading.says(self.thing) and bool(WARM & set(reading.words))
        if warm and not strays and not reading.asks and reading.composed:
            return Verdict(True, RIGHT)
        return Verdict(False, WRONG if strays else BESIDE_THE_POINT)


@dataclass(frozen=True)
class Occasion(Task):
    """Something said in passing, and the replies that fit it and no other."""

    family: ClassVar[str] = "small_talk"
    occasion: str
    prompts: tuple[str, ...] = aside()
    others: tuple[str, ...] = aside()

    def slots(self) -> Slots:
        return {
            "core": OCCASIONS[self.occasion][1],
            "miss": tuple(reply for other in self.others for reply in OCCASIONS[other][1]),
        }

    def key(self) -> dict[str, Any]:
        return {"occasion": self.occasion, "cues": list(CUES[self.occasion])}

    def judge(self, reading: Reading) -> Verdict:
        """Right is a reply that fits the occasion, fits at most one more, and is no echo."""
        fits = {
            occasion for occasion, cues in CUES.items() if any(reading.says(cue) for cue in cues)
        }
        echo = any(reading.words == words_of(prompt) for prompt in self.prompts)
        right = self.occasion in fits and len(fits) <= 2 and not echo
        if right and not reading.asks and reading.composed and len(reading.words) <= 40:
            return Verdict(True, RIGHT)
        return Verdict(False, BESIDE_THE_POINT)


def draw(rng: random.Random) -> list[Question]:
    """The world's things, asked in four of five forms each, and occasions with three each."""
    things = rng.sample(THINGS, THING_COUNT)
    groups: list[tuple[str, Task, dict[str, str]]] = [
        (
            slug(thing),
            Opinion(thing=thing, others=tuple(other for other in things if other != thing)),
            {"thing": thing},
        )
        for thing in things
    ]
    questions = phrase(groups, THING_QUESTIONS, 4, rng)
    occasions = rng.sample(sorted(OCCASIONS), OCCASION_COUNT)
    said: list[tuple[str, Task, dict[str, str]]] = []
    for occasion in occasions:
        first, second, third = prompts = OCCASIONS[occasion][0]
        others = tuple(other for other in occasions if other != occasion)
        task = Occasion(occasion=occasion, prompts=prompts, others=others)
        said.append((occasion, task, {"first": first, "second": second, "third": third}))
    return questions + phrase(said, ("{first}", "{second}", "{third}"), 3, rng)
