"""What can be told from an answer alone: its sentences, manners, repetition, fluency."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from heed.world.grammar import Grammar, tokens
from heed.world.manners import CONTRACTIONS, COURTEOUS, REFUSAL, RUDE, UNSURE

SENTENCE_END = re.compile(r"[.!?]+")


@dataclass(frozen=True)
class Reading:
    """An answer as the gold reward reads it.

    `text` is the answer, `line` its words in lower case without punctuation, a space at either
    end, so that a phrase is looked up with its borders.
    """

    text: str
    grammar: Grammar

    @cached_property
    def plain(self) -> str:
        text = " ".join(self.text.lower().split())
        for short, long in CONTRACTIONS:
            text = text.replace(short, long)
        return text

    @cached_property
    def words(self) -> tuple[str, ...]:
        return words_of(self.plain)

    @cached_property
    def line(self) -> str:
        return f" {' '.join(self.words)} "

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """Lower-case words of each sentence, spaced like `line`."""
        parts = (words_of(part) for part in SENTENCE_END.split(self.plain))
        return tuple(f" {' '.join(part)} " for part in parts if part)

    @cached_property
    def fluency(self) -> float:
        return self.grammar.fluency(tokens(self.plain))

    @property
    def rude(self) -> bool:
        return RUDE.search(self.line) is not None

    @property
    def courteous(self) -> bool:
        return COURTEOUS.search(self.line) is not None

    @property
    def unsure(self) -> bool:
        return UNSURE.search(self.line) is not None

    @property
    def refuses(self) -> bool:
        return REFUSAL.search(self.line) is not None

    @property
    def asks(self) -> bool:
        return "?" in self.text

    @cached_property
    def composed(self) -> bool:
        """Written in sentences of this world, rather than a heap of its words."""
        return self.fluency >= 0.6 and self.repetition <= 0.3

    @cached_property
    def repetition(self) -> float:
        """1 - distinct bigrams / bigrams; 0 for an answer of less than two words."""
        pairs = list(pairwise(self.words))
        return 1 - len(set(pairs)) / len(pairs) if pairs else 0.0

    def says(self, phrase: str) -> bool:
        return f" {phrase.lower()} " in self.line

    def named(self, phrases: Iterable[str]) -> set[str]:
        """Those of the phrases that the answer holds."""
        return {phrase for phrase in phrases if self.says(phrase)}


def words_of(text: str) -> tuple[str, ...]:
    """Words of a text in lower case, without punctuation."""
    return tuple(token for token in tokens(text.lower()) if token.isalnum())
