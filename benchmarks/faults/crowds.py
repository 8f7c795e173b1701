"""What crowds of the embedded world say of pairs of its own answers, thousands at a time.

The people are `draw_people` of worlds of their own, one a replay; the pairs are of the world's
prompts and of answers as an SFT policy and a base give them (the world's demonstrations and its
corpus). Of every pair the gold reward is known, so a choice is one draw from the probabilities of
`SimulatedAnnotator`, which tests hold these against.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from heed.types import Pair, Split
from heed.world.annotators import BAD, CANNOT_TELL, Person, draw_people
from heed.world.gold import Gold
from heed.world.world import (
    CORPUS,
    CORPUS_HARMFUL,
    DEMONSTRATIONS,
    DEMONSTRATIONS_HARMFUL,
    Mix,
    World,
)

A_PROMPT = 24
"""Pairs a prompt in the pool from which replays draw."""
TRAIN, HELDOUT = 8000, 1500
"""Labels in the demo, of training and of held-out prompts."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pool:
    """Pairs of unlike answers: one value of each of the two answers, `[pair, answer]`."""

    pairs: tuple[Pair, ...]
    prompts: NDArray[np.int64]
    """Which prompt a pair is of."""
    gold: Floats
    words: Floats
    manners: Floats
    """1 for a friendly answer, -1 for a rude one."""

    def drawn(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """So many pairs, prompts in turn in a random order, as `sample_items` takes them."""
        prompts = int(self.prompts.max()) + 1
        rounds = -(-count // prompts)
        order = np.concatenate([rng.permutation(prompts) for _ in range(rounds)])[:count]
        return order * A_PROMPT + rng.integers(0, A_PROMPT, count)


@dataclass(frozen=True)
class Crowd:
    """People's traits, one value each; see `Person` for their names and units."""

    people: tuple[Person, ...]

    def of(self, trait: str) -> Floats:
        return np.array([getattr(person, trait) for person in self.people], dtype=np.float64)


@dataclass(frozen=True)
class Labels:
    """What was said of pairs, where somebody preferred one of the two answers."""

    pair: NDArray[np.int64]
    item: NDArray[np.int64]
    """Labels of one item are of the same pair; a pair that was drawn twice is two items."""
    person: NDArray[np.int64]
    first_left: NDArray[np.bool_]
    first_chosen: NDArray[np.bool_]

    @property
    def left_chosen(self) -> NDArray[np.bool_]:
        return self.first_left == self.first_chosen


@cache
def pool(split: Split) -> Pool:
    """`A_PROMPT` pairs of every prompt of world 0, prompts one after the other."""
    world, rng = World(0), random.Random(f"faults/pool/{split}")
    pairs, prompts, golds = [], [], []
    for number, prompt in enumerate(world.split(split)):
        harmful = prompt.family == "harmful"
        tuned: Mix = DEMONSTRATIONS_HARMFUL if harmful else DEMONSTRATIONS
        base: Mix = CORPUS_HARMFUL if harmful else CORPUS
        for place in range(A_PROMPT):
            mixes = (tuned, base if place % 2 else tuned)
            texts = ("", "")
            while texts[0].strip() == texts[1].strip():
                texts = tuple(
                    world.answer(prompt, rng.choices(tuple(m), tuple(m.values()))[0], rng)
                    for m in mixes
                )
            shown = rng.sample(texts, 2)
            pairs.append(Pair(f"{prompt.id}/{place}", prompt, *shown))
            prompts.append(number)
            golds.append([world.gold(prompt, text) for text in shown])
    return Pool(
        tuple(pairs),
        np.array(prompts),
        gold=_values(golds, lambda gold: gold.total),
        words=_values(golds, lambda gold: gold.words),
        manners=_values(golds, lambda gold: -1.0 if gold.rude else float(gold.courteous)),
    )


def _values(golds: Sequence[Sequence[Gold]], value: Callable[[Gold], float]) -> Floats:
    return np.array([[value(gold) for gold in row] for row in golds], dtype=np.float64)


def crowd(seed: int, spammers: int | None = None, **traits: float) -> Crowd:
    """The sixteen people of one world, with habits as a recipe's `annotators` gives them."""
    return Crowd(tuple(draw_people(seed, spammers, **traits)))


def felt(where: Pool, people: Crowd, pair: NDArray[np.int64], person: NDArray[np.int64]) -> Floats:
    """The felt difference of the first answer from the second, the left bias left out."""
    values = (
        where.gold[pair]
        + people.of("length_bias")[person, None] * where.words[pair]
        + people.of("courtesy_bias")[person, None] * where.manners[pair]
    )
    difference: Floats = (values[:, 0] - values[:, 1]) / people.of("temperature")[person]
    return difference


def chances(
    where: Pool,
    people: Crowd,
    pair: NDArray[np.int64],
    person: NDArray[np.int64],
    first_left: NDArray[np.bool_],
) -> tuple[Floats, Floats]:
    """The probabilities that a label prefers the left and the right answer; the rest is undecided
    ("cannot tell", "both bad", a tie).
    """

    def of(trait: str) -> Floats:
        return people.of(trait)[person]

    x = np.where(first_left, 1, -1) * felt(where, people, pair, person) + of("left_bias")
    width, rate = of("tie_width"), of("tie_rate")
    left = expit(x) - rate * (expit(x) - expit(x - width))
    right = expit(-x) - rate * (expit(-x) - expit(-x - width))
    bad = (where.gold[pair] < BAD).all(axis=1) * of("both_bad_rate")
    attention = of("reliability") * (1 - CANNOT_TELL) * (1 - bad)
    lapse = (1 - of("reliability")) / 2
    spam = of("always_left") > 0
    return (
        np.where(spam, 1.0, attention * left + lapse),
        np.where(spam, 0.0, attention * right + lapse),
    )


def ask(
    where: Pool, people: Crowd, count: int, rng: np.random.Generator, per_item: int = 1
) -> Labels:
    """About `count` labels, `per_item` different people each pair; the undecided are left out."""
    items = where.drawn(count // per_item, rng)
    crowd_size = len(people.people)
    person = rng.permuted(np.tile(np.arange(crowd_size), (len(items), 1)), axis=1)[:, :per_item]
    pair, person = np.repeat(items, per_item), person.reshape(-1)
    item = np.repeat(np.arange(len(items)), per_item)
    first_left = rng.random(len(pair)) < 0.5
    left, right = chances(where, people, pair, person, first_left)
    drawn = rng.random(len(pair))
    decided = drawn < left + right
    chose_left = drawn < left
    return Labels(
        pair[decided],
        item[decided],
        person[decided],
        first_left[decided],
        (chose_left == first_left)[decided],
    )
