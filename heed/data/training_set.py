"""What of a survey is trained on and what is measured on: every prompt on one side."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from heed.data.splitting import conversation, held_out
from heed.data.survey import Survey
from heed.errors import UserError
from heed.types import Comparison, Demonstration, Prompt, Split, Unpaired

T = TypeVar("T", Comparison, Unpaired, Demonstration)


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Records of both sides; `prompt.split` says which side each is on."""

    comparisons: list[Comparison]
    unpaired: list[Unpaired]
    demonstrations: list[Demonstration]

    @property
    def prompts(self) -> list[Prompt]:
        """Every prompt once."""
        prompts = [
            *(each.prompt for each in self.comparisons),
            *(each.prompt for each in self.unpaired),
            *(each.prompt for each in self.demonstrations),
        ]
        return list({prompt.id: prompt for prompt in prompts}.values())

    @property
    def imitated(self) -> list[Demonstration]:
        """Demonstrations; where there are none, the answers that were chosen or called good."""
        chosen = [Demonstration(each.prompt, each.chosen) for each in self.comparisons]
        good = [Demonstration(each.prompt, each.text) for each in self.unpaired if each.desirable]
        return self.demonstrations or [*chosen, *good]

    @property
    def corpus(self) -> list[Demonstration]:
        """Every text of a training prompt."""
        train = on(self.comparisons, "train")
        return [
            *(Demonstration(each.prompt, each.chosen) for each in train),
            *(Demonstration(each.prompt, each.rejected) for each in train),
            *(Demonstration(each.prompt, each.text) for each in on(self.unpaired, "train")),
            *on(self.demonstrations, "train"),
        ]


def on(records: Sequence[T], split: Split) -> list[T]:
    """The records of one side."""
    return [each for each in records if each.prompt.split == split]


def training_set(
    found: Survey, *, heldout: float, limit: int | None, seed: Callable[..., int]
) -> TrainingSet:
    """At most `limit` records of each kind, drawn from all files alike, on the sides that
    `splitting.held_out` gives them; `seed` makes a seed from names.

    Raises:
        UserError: there is nothing to train on.
    """

    def some(records: Sequence[T], *kind: str) -> list[T]:
        shuffled = list(records)
        random.Random(seed("limit", *kind)).shuffle(shuffled)
        return shuffled[:limit]

    comparisons = some(found.comparisons)
    unpaired = some(found.unpaired, "unpaired")
    demonstrations = some(found.demonstrations, "demonstrations")
    kinds = [
        [each.prompt for each in comparisons],
        [each.prompt for each in unpaired],
        [each.prompt for each in demonstrations],
    ]
    apart = [kind in found.apart for kind in ("comparisons", "unpaired", "demonstrations")]
    held = held_out(kinds, heldout, seed(), apart)
    made = TrainingSet(
        [_sided(each, held) for each in comparisons],
        [_sided(each, held) for each in unpaired],
        [_sided(each, held) for each in demonstrations],
    )
    _check(found, made)
    return made


def _check(found: Survey, made: TrainingSet) -> None:
    sources = ", ".join(found.sources)
    if not made.prompts:
        broken = f"{len(found.broken):,} rows are broken. " if found.broken else ""
        raise UserError(
            f"{sources}: not one row can be used ({found.message()}) {broken}Heed trains on "
            "comparisons (prompt, chosen, rejected), on answers labelled one by one (prompt, "
            "completion, label) and on demonstrations (messages)."
        )
    if all(prompt.split == "heldout" for prompt in made.prompts):
        raise UserError(
            f"{sources}: the data hold all {len(made.prompts):,} prompts out, so that there is "
            "nothing to train on. Give the part to train on as well, or leave out what says test."
        )


def _sided(made: T, held: Collection[str]) -> T:
    split: Split = "heldout" if conversation(made.prompt) in held else "train"
    if split == made.prompt.split:
        return made
    return replace(made, prompt=replace(made.prompt, split=split))
