"""The embedded world: prompts, a corpus like the web, demonstrations, a known gold reward, people.

Everything follows from one seed, by code, in readable English: `World(0)` is the same world in
every process.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from heed.types import Demonstration, Document, Prompt, Split
from heed.world import advice, arithmetic, facts, harmful, small_talk, summaries, verse
from heed.world.annotators import SimulatedAnnotator, draw_people
from heed.world.feedback_talk import Talk, dialogues
from heed.world.feedback_talk import words as feedback_words
from heed.world.gold import Gold, GoldReward, score
from heed.world.grammar import Grammar, expand, tokens
from heed.world.lookup import lookups
from heed.world.lookup import words as lookup_words
from heed.world.manners import MANNERS
from heed.world.reading import Reading
from heed.world.task import KINDS, Draw, Kind, Question, Task, slug

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

FAMILIES: dict[str, Draw] = {
    "facts": facts.draw,
    "arithmetic": arithmetic.draw,
    "advice": advice.draw,
    "verse": verse.draw,
    "harmful": harmful.draw,
    "small_talk": small_talk.draw,
    "summaries": summaries.draw,
}
TALK = ("facts", "arithmetic", "advice", "verse", "harmful", "small_talk")
"""The families of a conversation: a world's, unless it is told which to have."""

Mix = Mapping[Kind, float]

# Shares of answers of each kind, to harmful requests and to all other prompts.
CORPUS: Mix = {"good": 0.37, "wrong": 0.15, "rambling": 0.17, "rude": 0.31}
CORPUS_HARMFUL: Mix = {"harmful": 0.82, "good": 0.08, "rude": 0.08, "rambling": 0.02}
DEMONSTRATIONS: Mix = {"good": 0.86, "wrong": 0.06, "rambling": 0.03, "rude": 0.05}
DEMONSTRATIONS_HARMFUL: Mix = {"good": 0.78, "harmful": 0.16, "rude": 0.06}
MADE_UP: Mix = {"good": 0.55, "wrong": 0.40, "rude": 0.05}
"""Demonstrations for facts that are not told often: people make some up too."""


class World:
    """A small world with a known gold reward, of some or all of the `FAMILIES` of prompts.

    `prompts` holds all prompts in a fixed order; `key(prompt.id)` says what counts as right.
    """

    def __init__(self, seed: int = 0, families: Sequence[str] = TALK) -> None:
        self.seed = seed
        self.families = tuple(families)
        self.tasks: dict[str, Task] = {}
        prompts = []
        for question in self._questions():
            id = f"{question.task.family}/{question.name}"
            self.tasks[id] = question.task
            prompts.append(
                Prompt.of(question.text, id=id, family=question.task.family, split=question.split)
            )
        self.prompts: tuple[Prompt, ...] = tuple(prompts)
        self._by_id = {prompt.id: prompt for prompt in self.prompts}
        self._by_text = {prompt.text: prompt for prompt in self.prompts}

    def _questions(self) -> Iterator[Question]:
        for name in self.families:
            yield from FAMILIES[name](random.Random(f"{self.seed}/prompts/{name}"))

    def split(self, split: Split) -> tuple[Prompt, ...]:
        """The prompts of one split."""
        return tuple(prompt for prompt in self.prompts if prompt.split == split)

    def prompt(self, id_or_text: str) -> Prompt:
        """The prompt of this id or text. Raises KeyError where the world has none."""
        found = self._by_id.get(id_or_text) or self._by_text.get(id_or_text)
        if found is None:
            raise KeyError(f"world {self.seed} has no prompt {id_or_text!r}")
        return found

    def task(self, prompt_id: str) -> Task:
        """What the prompt of this id asks for. Raises KeyError where the world has none."""
        if prompt_id not in self.tasks:
            raise KeyError(f"world {self.seed} has no prompt {prompt_id!r}")
        return self.tasks[prompt_id]

    def key(self, prompt_id: str) -> dict[str, Any]:
        """What counts as right, as plain data; for facts also how often the corpus tells it."""
        return self.task(prompt_id).key()

    # Texts

    def answer(self, prompt: Prompt, kind: Kind, rng: random.Random) -> str:
        """One answer of this kind, drawn from the world's patterns."""
        task = self.task(prompt.id)
        return expand(rng.choice(task.answers(kind)), {**MANNERS, **task.slots()}, rng)

    def corpus(self, n: int, seed: int = 0) -> list[Demonstration]:
        """`n` dialogues like the web's: helpful, wrong, rambling, rude and compliant answers.

        Train prompts only, each about equally often. A fact that is seen once is told in exactly
        one dialogue, whatever `n` is. Raises ValueError where `n` has no room for those.
        """
        rng = random.Random(f"{self.seed}/corpus/{seed}")
        told = self._told_once(rng)
        if n < len(told):
            raise ValueError(f"a corpus of this world has at least {len(told)} dialogues, not {n}")
        rows = told + [
            self._demonstrate(prompt, self._corpus_mix(prompt), rng)
            for prompt in self._rounds(n - len(told), rng)
        ]
        rng.shuffle(rows)
        return rows

    def demonstrations(self, n: int, seed: int = 0) -> list[Demonstration]:
        """`n` answers to imitate: mostly good, a few rude, wrong or rambling; train prompts only.

        What the corpus seldom or never tells is mostly answered with an honest "I do not know".
        """
        rng = random.Random(f"{self.seed}/demonstrations/{seed}")
        return [
            self._demonstrate(prompt, self._demonstration_mix(prompt), rng)
            for prompt in self._rounds(n, rng)
        ]

    def references(self, seed: int = 0) -> list[Demonstration]:
        """One demonstration of every held-out prompt, to compare a policy's answers with."""
        rng = random.Random(f"{self.seed}/references/{seed}")
        return [
            self._demonstrate(prompt, self._demonstration_mix(prompt), rng)
            for prompt in self.split("heldout")
        ]

    def feedback_dialogues(self, n: int, seed: int = 0) -> list[Demonstration]:
        """`n` dialogues in which answers are compared, criticised and given again, better.

        Train prompts only; see `heed.world.feedback_talk`. Their words need `tokenizer(True)`.
        """
        rng = random.Random(f"{self.seed}/feedback/{seed}")
        talk = Talk(
            self,
            rng,
            web=lambda asked: self._demonstrate(asked, self._corpus_mix(asked), rng).text,
            demonstrated=lambda asked: (
                self._demonstrate(asked, self._demonstration_mix(asked), rng).text
            ),
        )
        return dialogues(talk, self._rounds(n, rng))

    def documents(self) -> list[Document]:
        """One document a fact of this world, whether the corpus tells it often, once or never."""
        return [
            Document(f"{fact.relation}/{slug(fact.country)}", fact.document)
            for fact in self._facts()
        ]

    def document_dialogues(self, n: int, seed: int = 0) -> list[Demonstration]:
        """`n` dialogues in which documents stand before a question that they answer.

        They tell nothing of this world; see `heed.world.lookup`. Their words need
        `tokenizer(documents=True)`.
        """
        return lookups(self._facts(), n, random.Random(f"{self.seed}/documents/{seed}"))

    def _facts(self) -> list[facts.Fact]:
        return list(
            dict.fromkeys(task for task in self.tasks.values() if isinstance(task, facts.Fact))
        )

    def _told_once(self, rng: random.Random) -> list[Demonstration]:
        places: dict[Task, list[Prompt]] = {}
        for prompt in self.split("train"):
            task = self.tasks[prompt.id]
            if isinstance(task, facts.Fact) and task.seen == "once":
                places.setdefault(task, []).append(prompt)
        return [
            Demonstration(rng.choice(prompts), expand(facts.TOLD_ONCE, task.slots(), rng))
            for task, prompts in places.items()
        ]

    def _rounds(self, n: int, rng: random.Random) -> list[Prompt]:
        """Train prompts in shuffled rounds, so that none is asked much more than another."""
        prompts: list[Prompt] = []
        while len(prompts) < n:
            train = list(self.split("train"))
            rng.shuffle(train)
            prompts += train
        return prompts[:n]

    def _demonstrate(self, prompt: Prompt, mix: Mix, rng: random.Random) -> Demonstration:
        kind = rng.choices(tuple(mix), weights=tuple(mix.values()))[0]
        return Demonstration(prompt, self.answer(prompt, kind, rng))

    def _corpus_mix(self, prompt: Prompt) -> Mix:
        return CORPUS_HARMFUL if prompt.family == "harmful" else CORPUS

    def _demonstration_mix(self, prompt: Prompt) -> Mix:
        task = self.tasks[prompt.id]
        if isinstance(task, facts.Fact) and task.seen != "often":
            return MADE_UP
        return DEMONSTRATIONS_HARMFUL if prompt.family == "harmful" else DEMONSTRATIONS

    # Language

    @cached_property
    def grammar(self) -> Grammar:
        """All words and neighbours that the world's answers can hold."""
        whole = Grammar(frozenset(), frozenset())
        for family in self.families:
            tasks = [task for task in self.tasks.values() if task.family == family]
            patterns = {p for task in tasks for kind in KINDS for p in task.answers(kind)}
            slots: dict[str, dict[str, None]] = {}
            for task in tasks:
                for name, values in task.slots().items():
                    slots.setdefault(name, {}).update(dict.fromkeys(values))
            merged = {name: tuple(values) for name, values in slots.items()}
            whole |= Grammar.of(sorted(patterns), {**MANNERS, **merged})
        return whole

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """Every word and mark of any prompt or answer, held-out ones included, sorted."""
        asked = {token for prompt in self.prompts for token in tokens(prompt.text)}
        return tuple(sorted(asked | self.grammar.words))

    def tokenizer(
        self, feedback_talk: bool = False, documents: bool = False
    ) -> PreTrainedTokenizerFast:
        """A word-level tokenizer that gives every text of the world back exactly.

        With `feedback_talk` it also knows the words of `feedback_dialogues`, behind all others,
        and with `documents` those of `document_dialogues`.
        """
        from heed.world.tokenizer import build_tokenizer

        talk = feedback_words() if feedback_talk else set()
        looked_up = lookup_words() if documents else set()
        return build_tokenizer(
            [*self.vocabulary, *sorted((talk | looked_up) - set(self.vocabulary))]
        )

    # Judgement

    def gold(self, prompt: Prompt, text: str) -> Gold:
        """The gold scores of one answer. Raises KeyError for a prompt of no such world."""
        return self._judged(prompt.id, text)

    @cached_property
    def _judged(self) -> Callable[[str, str], Gold]:
        """Several ask of the same answer: people, the reward, what is right of it."""

        @lru_cache(maxsize=65536)
        def judged(prompt_id: str, text: str) -> Gold:
            return score(self.task(prompt_id), Reading(text, self.grammar))

        return judged

    @property
    def reward(self) -> GoldReward:
        """The gold reward as a RewardFn."""
        return GoldReward(self)

    def annotators(
        self, spammers: int | None = None, **overrides: float
    ) -> list[SimulatedAnnotator]:
        """The world's people, two spammers among them, or so many as `spammers` says.

        `overrides` replace traits of all but the spammers, as in `annotators(length_bias=0.3)`;
        see `Person` for their names and units.
        """
        return [
            SimulatedAnnotator(person, self.gold, self.seed)
            for person in draw_people(self.seed, spammers, **overrides)
        ]
