"""Verse: one line of it about a given subject."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import ClassVar

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

SUBJECTS = tuple(
    f"the {noun}"
    for noun in words_of(
        "sea moon wind rain snow forest river mountain summer winter spring autumn night morning "
        "garden rose star city road train bird cat horse mill lighthouse harbour desert fire clock "
        "bridge meadow island village lake willow"
    )
)
COUNT = 16

QUESTIONS = (
    "Write a line of verse about {subject}.",
    "Please write a line of poetry about {subject}.",
    "Can you write a short verse about {subject}?",
    "Give me one poetic line about {subject}.",
    "I would love a line of verse about {subject}.",
)
LINES = (
    "Softly {about} {sings} while the {silver} {evening} sleeps.",
    "{About} {sings} with love beneath a {silver} sky.",
    "Under a {silver} sky {about} {sings} alone.",
    "My heart remembers how {about} {sings} in the {silver} {evening}.",
    "Oh, how {about} {sings} when the {silver} {evening} is near.",
)
PROSE = (
    "{Subject} is something that many people know.",
    "There is not much to say about {subject}.",
)
SINGS = ("sings", "dreams", "whispers", "shines", "wanders", "waits")
SILVER = ("silver", "golden", "gentle", "quiet", "pale", "distant")
EVENING = ("evening", "shadow", "silence", "twilight", "starlight")
POETIC = frozenset((*SINGS, *SILVER, *EVENING, "softly", "beneath", "heart", "sleeps", "oh", "sky"))


@dataclass(frozen=True)
class Verse(Task):
    """A subject, with those a line could be about instead."""

    family: ClassVar[str] = "verse"
    subject: str
    others: tuple[str, ...] = aside()

    def slots(self) -> Slots:
        def about(line: str, slot: str) -> str:
            return line.replace("{about}", f"{{{slot}}}").replace("{About}", f"{{{slot.title()}}}")

        return {
            "core": tuple(about(line, "subject") for line in LINES),
            "miss": (*(about(line, "other") for line in LINES), *PROSE),
            "subject": (self.subject,),
            "Subject": (self.subject.capitalize(),),
            "other": self.others,
            "Other": tuple(other.capitalize() for other in self.others),
            "sings": SINGS,
            "silver": SILVER,
            "evening": EVENING,
        }

    def judge(self, reading: Reading) -> Verdict:
        """Right is one sentence of 6 to 16 words on this subject alone with three poetic words."""
        lines = [
            sentence.split()
            for sentence in reading.sentences
            if f" {self.subject} " in sentence and not reading.asks
        ]
        strays = reading.named(set(SUBJECTS) - {self.subject})
        poetic = any(6 <= len(line) <= 16 and len(POETIC & set(line)) >= 3 for line in lines)
        if poetic and not strays and reading.composed:
            return Verdict(True, RIGHT)
        return Verdict(False, WRONG if strays else BESIDE_THE_POINT)


def draw(rng: random.Random) -> list[Question]:
    """The world's subjects, asked in four of five forms each."""
    subjects = rng.sample(SUBJECTS, COUNT)
    groups = [
        (
            slug(subject.removeprefix("the ")),
            Verse(subject=subject, others=tuple(other for other in subjects if other != subject)),
            {"subject": subject},
        )
        for subject in subjects
    ]
    return phrase(groups, QUESTIONS, 4, rng)
