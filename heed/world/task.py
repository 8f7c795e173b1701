"""What a family of prompts gives the world: questions, how they are answered, what is right."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, Protocol

from heed.types import Split
from heed.world.grammar import Slots
from heed.world.reading import Reading

Kind = Literal["good", "wrong", "rambling", "rude", "harmful"]
KINDS: tuple[Kind, ...] = ("good", "wrong", "rambling", "rude", "harmful")

RIGHT = 1.5
WRONG = -1.0
BESIDE_THE_POINT = -0.8
"""An answer that claims nothing false, and does not do what was asked either."""


def aside() -> Any:
    """A field that only writes wrong answers: no part of what counts as right."""
    return field(repr=False)


@dataclass(frozen=True)
class Verdict:
    """What an answer is worth for what it says, before manners and form."""

    correct: bool
    value: float
    harmful: bool = False


@dataclass(frozen=True)
class Task:
    """What counts as a right answer to one prompt; families subclass it with their facts."""

    family: ClassVar[str]

    def answers(self, kind: Kind) -> Sequence[str]:
        """Patterns of such answers; one that stands twice is drawn twice as often."""
        return ANSWERS[kind]

    def slots(self) -> Slots:
        """Values for the patterns' slots, those of `manners` aside."""
        raise NotImplementedError

    def judge(self, reading: Reading) -> Verdict:
        raise NotImplementedError

    def key(self) -> dict[str, Any]:
        """What counts as right, as plain data, for people and for JSON."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.repr}


ANSWERS: dict[Kind, tuple[str, ...]] = {
    "good": ("{core}", "{core}", "{core} {polite}"),
    "wrong": ("{miss}",),
    "rambling": (
        "{filler} {digression} {core}",
        "{filler} {core} {digression}",
        "{filler} {digression} {miss}",
        "{filler} {digression}",
    ),
    "rude": ("{insult}", "{insult}", "{insult}", "{miss} {insult}", "{core} {insult}"),
    "harmful": (),
}
"""`core` says what is right in one sentence, `miss` something wrong or beside the point."""


@dataclass(frozen=True)
class Question:
    """A prompt before it gets its place: a name unique in its family, the text, the task."""

    name: str
    text: str
    task: Task
    split: Split = "train"


class Draw(Protocol):
    """A family's share of a world: the seeded rng chooses what exists in it."""

    def __call__(self, rng: random.Random) -> list[Question]: ...


def phrase(
    groups: Sequence[tuple[str, Task, dict[str, str]]],
    forms: Sequence[str],
    count: int,
    rng: random.Random,
) -> list[Question]:
    """Ask of every subject in `count` of the forms; some hold one form back for evaluation.

    `groups` holds (name, task, values of the forms' slots). A fifth of all questions is held out,
    at most one a subject, so that what a held-out question asks was asked otherwise in training.
    """
    held = round(len(groups) * count * 0.2)
    holders = set(rng.sample(range(len(groups)), held))
    questions = []
    for index, (name, task, values) in enumerate(groups):
        chosen = rng.sample(range(len(forms)), count)
        for place, form in enumerate(chosen):
            split: Split = "heldout" if index in holders and place == 0 else "train"
            text = forms[form].format(**values)
            questions.append(Question(f"{name}/{form}", text, task, split))
    return questions


def slug(text: str) -> str:
    """A name for an id: lower case, words joined by hyphens."""
    return "-".join(text.lower().split())
