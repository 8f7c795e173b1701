"""Everything a person would read is correct English, as far as a program can tell."""

from __future__ import annotations

import random
import re

import pytest

from heed.world import World
from heed.world.advice import KEYWORDS, TIPS
from heed.world.facts import COUNTRIES, NAMES
from heed.world.grammar import Grammar, expand
from heed.world.reading import words_of
from heed.world.task import KINDS

SEEDS = (0, 1, 2)
FAULTS = {
    "starts without a capital": re.compile(r"^[a-z]|[.!?] [a-z]"),
    "ends without a stop": re.compile(r"[^.!?]$"),
    "space": re.compile(r"  | [.,!?:;]|^ | $"),
    "slot": re.compile(r"[{}_]"),
    "a before a vowel": re.compile(r"\ba [aeio]", re.IGNORECASE),
    "an before a consonant": re.compile(r"\ban [^aeiou]", re.IGNORECASE),
    "a word twice": re.compile(r"\b(\w+) \1\b", re.IGNORECASE),
    "bare the-country": re.compile(r"(?<!the )(?<!The )\b(Netherlands|Bahamas|United)\b"),
    "apostrophe": re.compile(r"['’\"]"),
    "to before a clause": re.compile(r"\bto (the|a|I|you) (is|are)\b"),
}


def texts(world: World) -> list[str]:
    """All prompts, and several answers of every kind to each."""
    rng = random.Random(7)
    answers = [
        world.answer(prompt, kind, rng)
        for prompt in world.prompts
        for kind in KINDS
        if world.task(prompt.id).answers(kind)
        for _ in range(4)
    ]
    return [prompt.text for prompt in world.prompts] + answers


@pytest.fixture(scope="module", params=SEEDS)
def written(request: pytest.FixtureRequest) -> list[str]:
    return texts(World(request.param))


@pytest.mark.parametrize("fault", FAULTS)
def test_english(written: list[str], fault: str) -> None:
    assert [text for text in written if FAULTS[fault].search(text)] == []


def test_lengths(written: list[str]) -> None:
    assert max(len(words_of(text)) for text in written) <= 45


def test_every_text_is_fluent_to_the_grammar() -> None:
    world = World(0)
    rows = world.corpus(2000) + world.demonstrations(2000)
    assert {world.gold(row.prompt, row.text).fluency for row in rows} == {1.0}


def test_grammar_is_exact() -> None:
    slots = {"b": ("x {c}", "y"), "c": ("z", "z z")}
    grammar = Grammar.of(["A {b} d."], slots)
    assert grammar.words == {"A", "x", "y", "z", "d", "."}
    inner = {("a", "x"), ("a", "y"), ("x", "z"), ("z", "z"), ("z", "d"), ("y", "d"), ("d", ".")}
    assert grammar.bigrams == inner | {("<start>", "a"), (".", "<end>")}
    assert grammar.fluency(["A", "y", "d", "."]) == 1.0
    assert grammar.fluency(["d", "A"]) == 0.0
    drawn = {expand("A {b} d.", slots, random.Random(i)) for i in range(50)}
    assert drawn == {"A x z d.", "A x z z d.", "A y d."}


def test_facts_are_told_apart_by_their_names() -> None:
    """A capital that is a country's name, or a name twice, would make an answer ambiguous."""
    assert len(NAMES) == len(COUNTRIES)
    assert len({row[1] for row in COUNTRIES}) == len(COUNTRIES)
    assert not NAMES & {value for row in COUNTRIES for value in row[1:]}


@pytest.mark.parametrize("goal", TIPS)
def test_every_tip_serves_its_goal_and_no_other(goal: str) -> None:
    for tip in TIPS[goal]:
        words = set(words_of(tip))
        assert len(words & KEYWORDS[goal]) >= 2, tip
        for other in set(TIPS) - {goal}:
            assert len(words & (KEYWORDS[other] - KEYWORDS[goal])) <= 1, (tip, other)
            assert len(words & KEYWORDS[other]) <= 1, (tip, other)
