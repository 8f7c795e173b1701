"""What a recipe's data look like: how many rows, and how long their texts are.

A few thousand texts are looked at, the others are taken to be like them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean
from typing import TypeVar, get_args

from heed.data.survey import Survey
from heed.data.training_set import on, training_set
from heed.recipe import Recipe, Records
from heed.run import derive_seed
from heed.types import Comparison, Demonstration, Prompt, Split, Unpaired
from heed.world.arithmetic import Calculation
from heed.world.facts import Fact
from heed.world.world import World

T = TypeVar("T")
Kind = TypeVar("Kind", Comparison, Unpaired, Demonstration)
LOOK = 1000
"""Texts looked at, of each sort."""
CHARACTERS, MARKER = 3.5, 5
"""Characters a token of a byte-level BPE of 4,096 that was trained on HH-RLHF's transcripts, and
tokens of a turn's marker in Heed's own form (measured: 3.54 and 4.8)."""
Measure = Callable[[Prompt, str], tuple[int, int]]
"""From a prompt and an answer to their tokens, those of the chat format and the end among them."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A text that was looked at: tokens of its prompt and its answer, words of both."""

    prompt: int
    answer: int
    prompt_words: int
    answer_words: int
    family: str = ""


@dataclass(frozen=True)
class Rows:
    """So many rows, like those that were looked at."""

    count: int
    seen: tuple[Seen, ...]

    def of(self, families: Sequence[str]) -> Rows:
        """The rows of some families, all where none is named."""
        if not families:
            return self
        seen = tuple(each for each in self.seen if each.family in families)
        return Rows(round(self.count * len(seen) / max(1, len(self.seen))), seen or self.seen)

    def prompt(self) -> float:
        """Tokens of a prompt, on average."""
        return fmean(each.prompt for each in self.seen)

    def answer(self, most: int | None = None) -> float:
        """Tokens of an answer that is cut after `most`, on average."""
        return fmean(min(each.answer, most or each.answer) for each in self.seen)

    def row(self, context: int) -> float:
        """Tokens of prompt and answer, together at most `context`, on average."""
        return fmean(min(each.prompt + each.answer, context) for each in self.seen)

    def target(self, context: int) -> float:
        """Tokens of an answer beside its prompt in so much context, on average."""
        return fmean(
            min(each.answer, max(context - each.prompt, context // 2)) for each in self.seen
        )

    def words(self, answers: int) -> float:
        """Words to read of a prompt and so many answers, on average."""
        return fmean(each.prompt_words + answers * each.answer_words for each in self.seen)


@dataclass(frozen=True)
class Data:
    """What the first stage will leave.

    `prompts` and `heldout_prompts` count by family. `comparisons`, `heldout` and the answers that
    are labelled one by one are of people's data; the world has none before somebody is asked.
    `probes`: questions asked after a wrong opinion.
    """

    corpus: Rows
    demonstrations: Rows
    prompts: Mapping[str, int]
    heldout_prompts: Mapping[str, int]
    all_train: bool = True
    """Whether every demonstration is of a training prompt, so that some are held out of them."""
    heldout_demonstrations: int = 0
    """Beside those that are trained on, where not all are of training prompts."""
    comparisons: int = 0
    heldout: int = 0
    unpaired: int = 0
    heldout_unpaired: int = 0
    probes: int = 0
    documents: float = 0.0
    """Tokens of a document that is looked up."""
    vocabulary: int = 0
    notes: tuple[str, ...] = field(default=())

    def asked(self, families: Sequence[str] = ()) -> int:
        """Training prompts of some families, all where none is named."""
        return sum(n for name, n in self.prompts.items() if not families or name in families)

    @property
    def held(self) -> int:
        """Held-out prompts."""
        return sum(self.heldout_prompts.values())


def of_world(recipe: Recipe, world: World, measure: Measure, vocabulary: int) -> Data:
    """The embedded world's texts, drawn as its records are; those of every stage of records in one
    recipe are alike.
    """
    records = next(stage for stage in recipe.stages if isinstance(stage, Records))
    corpus = world.corpus(min(records.corpus, LOOK))
    further = [
        *world.feedback_dialogues(min(records.feedback_talk, LOOK // 2)),
        *world.document_dialogues(min(records.documents, LOOK // 2)),
    ]
    total = records.corpus + records.feedback_talk + records.documents
    plain = _rows(corpus, records.corpus, measure)
    mixed = [*plain.seen]
    if further:
        own = _rows(further, len(further), measure).seen
        share = (total - records.corpus) / records.corpus
        mixed += (own * (1 + int(share * len(mixed)) // len(own)))[: int(share * len(mixed))]
    demonstrations = world.demonstrations(min(records.demonstrations, LOOK))
    documents = [Demonstration(world.prompts[0], each.text) for each in world.documents()[:200]]
    return Data(
        corpus=Rows(total, tuple(mixed)),
        demonstrations=_rows(demonstrations, records.demonstrations, measure),
        prompts=Counter(prompt.family for prompt in world.split("train")),
        heldout_prompts=Counter(prompt.family for prompt in world.split("heldout")),
        probes=sum(
            isinstance(world.task(prompt.id), Fact | Calculation)
            for prompt in world.split("heldout")
        ),
        documents=_rows(documents, 1, measure).answer() if documents else 0.0,
        vocabulary=vocabulary,
    )


def of_survey(found: Survey, records: Records, measure: Measure, vocabulary: int = 0) -> Data:
    """What a survey of somebody's data found, all of it or the beginning of every file: some texts
    of each sort are measured, and all are counted as the stage records will divide them.
    """
    made = training_set(
        found, heldout=records.heldout, limit=None, seed=partial(derive_seed, 0, records.name)
    )

    def scale(rows: Sequence[object]) -> float:
        there = len(rows) / found.share
        return min(there, records.limit or there) / max(1, len(rows))

    def count(rows: Sequence[Kind], split: Split) -> int:
        return round(len(on(rows, split)) * scale(rows))

    def imitated(split: Split) -> int:
        if made.demonstrations:
            return count(made.demonstrations, split)
        good = [each for each in on(made.unpaired, split) if each.desirable]
        return count(made.comparisons, split) + round(len(good) * scale(made.unpaired))

    corpus = 2 * count(made.comparisons, "train")
    corpus += count(made.unpaired, "train") + count(made.demonstrations, "train")
    shown = on(made.imitated, "train") or made.corpus
    kinds: tuple[Sequence[object], ...] = (made.comparisons, made.unpaired, made.demonstrations)
    most = scale(max(kinds, key=len))
    asked = {split: _families(made.prompts, split, most) for split in get_args(Split)}
    return Data(
        corpus=_rows(_some(made.corpus), corpus, measure),
        demonstrations=_rows(_some(shown), imitated("train"), measure),
        prompts=asked["train"],
        heldout_prompts=asked["heldout"],
        all_train=False,
        heldout_demonstrations=imitated("heldout"),
        comparisons=count(made.comparisons, "train"),
        heldout=count(made.comparisons, "heldout"),
        unpaired=count(made.unpaired, "train"),
        heldout_unpaired=count(made.unpaired, "heldout"),
        vocabulary=vocabulary,
    )


def by_characters(prompt: Prompt, answer: str) -> tuple[int, int]:
    """Tokens where there is no tokenizer yet: by the characters of the texts and by the turns."""
    said = sum(len(message.content) for message in prompt.messages)
    turns = len(prompt.messages) + 1
    return round(said / CHARACTERS) + MARKER * turns, round(len(answer) / CHARACTERS) + 1


def _families(prompts: Sequence[Prompt], split: Split, scale: float) -> dict[str, int]:
    """Prompts of one side, by family."""
    seen = Counter(prompt.family for prompt in prompts if prompt.split == split)
    return {family: round(count * scale) for family, count in seen.items()}


def _some(items: Sequence[T]) -> list[T]:
    """At most `LOOK` of them, from all over."""
    return [*items[:: max(1, len(items) // LOOK)]][:LOOK]


def _rows(items: Sequence[Demonstration], count: int, measure: Measure) -> Rows:
    seen = []
    for item in items:
        prompt, answer = measure(item.prompt, item.text)
        said = " ".join(message.content for message in item.prompt.messages)
        seen.append(
            Seen(prompt, answer, len(said.split()), len(item.text.split()), item.prompt.family)
        )
    return Rows(count, tuple(seen))
