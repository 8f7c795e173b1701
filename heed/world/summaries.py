"""Summaries: a post of several sentences, and the one sentence that tells what matters in it.

In the form of Stiennon et al. 2020 (arXiv:2009.01325): a post, then "TLDR:". A post says who
writes, what happened and what the writer wonders, among sentences that do not matter. Unlike the
other families' answers, a summary can only be read from its prompt: no post is told twice.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from heed.types import Split
from heed.world.grammar import Slots
from heed.world.reading import Reading, words_of
from heed.world.task import BESIDE_THE_POINT, RIGHT, Question, Task, Verdict, aside

WRITERS = words_of(
    "baker nurse teacher farmer painter lawyer driver cook sailor dentist plumber gardener"
)
EVENTS = {
    "lost my wallet": "lost a wallet",
    "broke my leg": "broke a leg",
    "sold my car": "sold a car",
    "missed my train": "missed a train",
    "found a puppy": "found a puppy",
    "won a prize": "won a prize",
    "burned my dinner": "burned the dinner",
    "forgot a birthday": "forgot a birthday",
    "failed my exam": "failed an exam",
    "met an old friend": "met an old friend",
    "got a new boss": "got a new boss",
    "moved to a village": "moved to a village",
}
"""What the writer says happened, and how others tell it."""
PLANS = {
    "call the police": "call the police",
    "tell my wife": "tell the wife",
    "ask my brother": "ask a brother",
    "leave my job": "leave the job",
    "write a letter": "write a letter",
    "buy a boat": "buy a boat",
    "see a doctor": "see a doctor",
    "start a club": "start a club",
    "paint my kitchen": "paint the kitchen",
    "learn to dance": "learn to dance",
    "sleep all day": "sleep all day",
    "give a party": "give a party",
}
Other = tuple[str, ...]

COUNT = 1200
HELD = 0.1

OPENINGS = ("I am a {writer}.", "I work as a {writer}.", "Here writes a {writer}.")
HAPPENED = ("Last week I {event}.", "On Monday I {event}.", "Two days ago I {event}.")
WONDERS = ("Should I {plan}?", "Now I wonder if I should {plan}.", "Is it wise to {plan}?")
ASIDES = (
    "It rained all day.",
    "My neighbour plays the drums.",
    "The coffee here is too weak.",
    "Nobody in my street has a garden.",
    "I like long walks.",
    "My sofa is green.",
)
CORES = (
    "A {who} {what} and wonders whether to {whether}.",
    "A {who} {what} and asks whether to {whether}.",
)
LOOSE = (
    "A {who} {what}.",
    "A {who} wonders whether to {whether}.",
    "A {who} has a question.",
)


@dataclass(frozen=True)
class Summary(Task):
    """Who writes, what happened, what the writer wonders, as a summary tells them."""

    family: ClassVar[str] = "summaries"
    who: str
    what: str
    whether: str
    others: tuple[Other, Other, Other] = aside()

    def slots(self) -> Slots:
        def astray(*wrong: str) -> tuple[str, ...]:
            """The summaries with some of their points about something else."""
            texts: Other = CORES
            for name in wrong:
                texts = tuple(text.replace(f"{{{name}}}", f"{{other_{name}}}") for text in texts)
            return texts

        return {
            "core": CORES,
            "miss": (*LOOSE, *astray("what"), *astray("whether"), *astray("who", "what")),
            "who": (self.who,),
            "what": (self.what,),
            "whether": (self.whether,),
            "other_who": self.others[0],
            "other_what": self.others[1],
            "other_whether": self.others[2],
        }

    def judge(self, reading: Reading) -> Verdict:
        """Right is all three points and nothing that the post does not say.

        Each point that is there is worth a third of the way up, each made-up one costs as much.
        """
        points = (
            (self.who, WRITERS),
            (self.what, tuple(EVENTS.values())),
            (self.whether, tuple(PLANS.values())),
        )
        told = sum(reading.says(right) for right, _ in points)
        made_up = sum(len(reading.named(set(all_) - {right})) for right, all_ in points)
        if not reading.composed or reading.asks:
            return Verdict(False, BESIDE_THE_POINT)
        value = BESIDE_THE_POINT + (RIGHT - BESIDE_THE_POINT) * max(told - made_up, -1) / 3
        return Verdict(told == 3 and not made_up, value)


def draw(rng: random.Random) -> list[Question]:
    """Posts, no two of which tell the same; a tenth of them is held out."""
    told = rng.sample(
        [(who, what, plan) for who in WRITERS for what in EVENTS for plan in PLANS], COUNT
    )
    held = set(rng.sample(range(COUNT), round(COUNT * HELD)))
    questions = []
    for index, (who, what, plan) in enumerate(told):
        split: Split = "heldout" if index in held else "train"
        task = Summary(who, EVENTS[what], PLANS[plan], _others(who, EVENTS[what], PLANS[plan]))
        post = _post(who, what, plan, rng)
        questions.append(Question(f"post-{index}", f"{post} TLDR:", task, split))
    return questions


def _post(who: str, what: str, plan: str, rng: random.Random) -> str:
    """The three sentences that matter in their order, two that do not anywhere between."""
    sentences = [
        rng.choice(OPENINGS).format(writer=who),
        rng.choice(HAPPENED).format(event=what),
        rng.choice(WONDERS).format(plan=plan),
    ]
    for aside_ in rng.sample(ASIDES, 2):
        sentences.insert(rng.randint(0, len(sentences)), aside_)
    return " ".join(sentences)


def _others(who: str, what: str, plan: str) -> tuple[Other, Other, Other]:
    def but(right: str, every: Iterable[str]) -> Other:
        return tuple(each for each in every if each != right)

    return but(who, WRITERS), but(what, EVENTS.values()), but(plan, PLANS.values())
