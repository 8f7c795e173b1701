"""Documents before a question: dialogues from which a model learns to read what it is shown.

The countries are those that the world never asks about, and what a document says of one is drawn
anew for every dialogue, from the values that this world's facts have. So there is nothing to learn
by heart, no fact of the world is told, and the answer can only be read.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from heed.types import Demonstration, Message, Prompt
from heed.world.facts import COUNTRIES, DOCUMENTS, QUESTIONS, Fact
from heed.world.grammar import expand, tokens
from heed.world.manners import MANNERS

FAMILY = "lookup"
MOST = 3
"""Documents before a question, at most; one of them answers it, wherever it stands."""


def words() -> set[str]:
    """Every word and mark of such dialogues that may be new to a world's own texts."""
    forms = (form.format(country="", answer="") for form in DOCUMENTS.values())
    asked = (form.format(country="") for each in QUESTIONS.values() for form in each)
    countries = (row[0] for row in COUNTRIES)
    return {token for text in (*forms, *asked, *countries) for token in tokens(text)}


def lookups(facts: Sequence[Fact], n: int, rng: random.Random) -> list[Demonstration]:
    """`n` dialogues; `facts` are the world's own, of which only the values are taken."""
    asked_about = {fact.country for fact in facts}
    others = [row[0] for row in COUNTRIES if row[0] not in asked_about]
    return [_dialogue(facts, others, number, rng) for number in range(n)]


def _dialogue(
    facts: Sequence[Fact], countries: Sequence[str], number: int, rng: random.Random
) -> Demonstration:
    first = rng.choice(countries)
    shown = [
        replace(fact, country=country, seen="often")
        for fact, country in zip(
            rng.sample(facts, rng.randint(1, MOST)),
            [first, rng.choice([first, *countries]), rng.choice(countries)],
            strict=False,
        )
    ]
    fact = shown[0]
    if any((each.relation, each.country) == (fact.relation, fact.country) for each in shown[1:]):
        shown = [fact]  # two documents about one thing would say unlike things
    question = rng.choice(QUESTIONS[fact.relation]).format(country=fact.country)
    rng.shuffle(shown)
    documents = Message("system", " ".join(each.document for each in shown))
    prompt = Prompt(f"{FAMILY}/{number}", (documents, Message("user", question)), FAMILY)
    pattern = rng.choice(fact.answers("good"))
    return Demonstration(prompt, expand(pattern, {**MANNERS, **fact.slots()}, rng))
