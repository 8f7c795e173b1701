"""Who is compared, and on what: contestants' answers, laid out in blind pairs.

An item's id, prompt and answers say nothing of who wrote them; `models` does, which no source ever
shows. Which answer stands first is drawn.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from heed.errors import UserError
from heed.judging.decoys import DECOYS
from heed.types import Completion, Item, Prompt

DECOY = "decoy: "
"""What decoys' names begin with, so that they are never taken for a policy."""


@dataclass(frozen=True)
class Contestant:
    """Somebody's answers, by the prompt's id; several to a prompt are several samples."""

    name: str
    answers: Mapping[str, Sequence[str]]

    @classmethod
    def of(
        cls, name: str, completions: Iterable[Completion], most: int | None = None
    ) -> Contestant:
        """From completions, at most so many a prompt. Raises UserError for a decoy's name."""
        if is_decoy(name):
            raise UserError(f"A contestant cannot be called {name!r}: only decoys are.")
        answers: dict[str, list[str]] = {}
        for each in completions:
            own = answers.setdefault(each.prompt.id, [])
            if most is None or len(own) < most:
                own.append(each.text)
        return cls(name, answers)


def is_decoy(name: str) -> bool:
    """Whether a contestant of this name answers nothing (`judging/decoys.py`)."""
    return name.startswith(DECOY)


def decoys(prompts: Iterable[Prompt]) -> list[Contestant]:
    """The decoys, which answer every prompt alike."""
    ids = [prompt.id for prompt in prompts]
    return [
        Contestant(f"{DECOY}{name}", dict.fromkeys(ids, (text,))) for name, text in DECOYS.items()
    ]


def pair_up(
    contestants: Sequence[Contestant],
    prompts: Sequence[Prompt],
    *,
    pairs: int | None = None,
    seed: int = 0,
) -> list[Item]:
    """Items of two answers: every two contestants on every prompt that both answered.

    The k-th answer of one meets the k-th of the other; who has one answer to a prompt meets all
    with it. Decoys do not meet each other. With `pairs`, so many items in all: every two meet
    equally often (to one), on prompts drawn at random, none a second time before all were drawn
    once. Items come in a random order, and so do the two answers of each.

    Raises:
        UserError: two have a name in common, there are fewer than two, or two share no prompt.
    """
    names = [each.name for each in contestants]
    if len(set(names)) < len(names) or len(names) < 2:
        raise UserError(
            f"A comparison is of two or more contestants of different names, not of "
            f"{', '.join(names) or 'none'}."
        )
    rng = random.Random(seed)
    meetings = [
        (one, other)
        for one, other in combinations(contestants, 2)
        if not (is_decoy(one.name) and is_decoy(other.name))
    ]
    if pairs is not None and pairs < len(meetings):
        raise UserError(
            f"{pairs} pairs are too few for {len(names)} contestants (decoys included), of whom "
            f"{len(meetings)} twos meet: ask for at least so many."
        )
    slots = []
    for place, (one, other) in enumerate(meetings):
        own = list(_slots(one, other, prompts, rng))
        if not own:
            raise UserError(
                f"{one.name} and {other.name} answered no prompt in common: they cannot be "
                "compared."
            )
        wanted = len(own) if pairs is None else (pairs + len(meetings) - 1 - place) // len(meetings)
        slots += own[:wanted]
    rng.shuffle(slots)
    return [_item(f"pair-{number}", slot, rng) for number, slot in enumerate(slots)]


@dataclass(frozen=True)
class _Slot:
    prompt: Prompt
    names: tuple[str, str]
    answers: tuple[str, str]


def _slots(
    one: Contestant, other: Contestant, prompts: Sequence[Prompt], rng: random.Random
) -> Iterator[_Slot]:
    """What two can be compared on, in rounds of every prompt in a random order."""
    found: list[list[_Slot]] = []
    for prompt in prompts:
        a, b = one.answers.get(prompt.id, ()), other.answers.get(prompt.id, ())
        if a and b:
            rounds = max(len(a), len(b)) if 1 in (len(a), len(b)) else min(len(a), len(b))
            texts = [(a[k % len(a)], b[k % len(b)]) for k in range(rounds)]
            found.append([_Slot(prompt, (one.name, other.name), both) for both in texts])
    for turn in range(max(map(len, found), default=0)):
        slots = [own[turn] for own in found if turn < len(own)]
        rng.shuffle(slots)
        yield from slots


def _item(id: str, slot: _Slot, rng: random.Random) -> Item:
    order = rng.sample((0, 1), 2)
    return Item(
        id,
        slot.prompt,
        tuple(slot.answers[place] for place in order),
        tuple(slot.names[place] for place in order),
    )
