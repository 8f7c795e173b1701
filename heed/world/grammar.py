"""Patterns with slots: how the world writes a text, and which words may follow which in it.

A pattern is a line of text with slots, "The capital of {country} is {answer}."; a slot's values
may hold slots again. The same rules write the texts, give the vocabulary, and tell a composed
sentence from a heap of words.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

Slots = Mapping[str, Sequence[str]]
Bigram = tuple[str, str]

SLOT = re.compile(r"\{(\w+)\}")
ATOM = re.compile(r"\{\w+\}|\w+|[^\w\s]")
TOKEN = re.compile(r"\w+|[^\w\s]")

START, END = "<start>", "<end>"


def tokens(text: str) -> list[str]:
    """Words and punctuation marks of a text, in order, cases kept."""
    return TOKEN.findall(text)


def expand(pattern: str, slots: Slots, rng: random.Random) -> str:
    """One text of a pattern; every slot draws one of its values."""
    return SLOT.sub(lambda slot: expand(rng.choice(slots[slot[1]]), slots, rng), pattern)


@dataclass(frozen=True)
class Grammar:
    """All words a set of patterns can write, and all neighbours, in lower case."""

    words: frozenset[str]
    bigrams: frozenset[Bigram]

    @classmethod
    def of(cls, patterns: Iterable[str], slots: Slots) -> Grammar:
        """Exact for the patterns: every bigram here is in some text, and none is missing."""
        survey = _Survey(slots)
        for pattern in patterns:
            firsts, lasts = survey.edges(pattern)
            survey.bigrams.update((START, first) for first in firsts)
            survey.bigrams.update((last, END) for last in lasts)
        return cls(frozenset(survey.words), frozenset(survey.bigrams))

    def __or__(self, other: Grammar) -> Grammar:
        return Grammar(self.words | other.words, self.bigrams | other.bigrams)

    def fluency(self, words: Sequence[str]) -> float:
        """Share of neighbours in a text (its start and its end among them) that are the world's."""
        line = [START, *(word.lower() for word in words), END]
        pairs = list(pairwise(line))
        return sum(pair in self.bigrams for pair in pairs) / len(pairs)


class _Survey:
    """Walks patterns once each and gathers words and bigrams."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.words: set[str] = set()
        self.bigrams: set[Bigram] = set()
        self.known: dict[str, tuple[set[str], set[str]]] = {}

    def edges(self, pattern: str) -> tuple[set[str], set[str]]:
        """First and last words of all texts of a pattern."""
        if pattern not in self.known:
            parts = [self._atom(atom) for atom in ATOM.findall(pattern)]
            for (_, lasts), (firsts, _) in pairwise(parts):
                self.bigrams.update((last, first) for last in lasts for first in firsts)
            self.known[pattern] = parts[0][0], parts[-1][1]
        return self.known[pattern]

    def _atom(self, atom: str) -> tuple[set[str], set[str]]:
        if atom.startswith("{"):
            edges = [self.edges(value) for value in self.slots[atom[1:-1]]]
            firsts = {word for first, _ in edges for word in first}
            return firsts, {word for _, last in edges for word in last}
        self.words.add(atom)
        return {atom.lower()}, {atom.lower()}
