"""Replays of faults in what people said."""

from __future__ import annotations

from collections import Counter

import numpy as np

from benchmarks.faults.crowds import HELDOUT, TRAIN, Crowd, Labels, Pool, ask, crowd, pool
from heed.feedback.crowd import RIGHT, WRONG
from heed.gates.crowd import agreement, spammers
from heed.gates.finding import Finding
from heed.gates.imports import Hits, swapped
from heed.gates.labels import lengths, sides
from heed.gates.sign import sign
from heed.recipe import Gates
from heed.stats.consensus import one_coin

GATES = Gates()
"""The thresholds that a recipe has where it says nothing."""
SEEDS = 2**31
PER_ITEM = 3
"""People who label each pair, where they are held against each other."""
KNOWN, PROMPTS = 0.72, 567
"""Of the demo: how often a model of words is right about a held-out label, and all prompts."""
UNLIKE = 10.0
"""How much prompts differ in what a reward gets right: their accuracies are Beta(k a, k (1 - a)),
so that pairs of one prompt are correlated by 1 / (k + 1) = .09 (.03 in the demo)."""


def side_lovers(left_bias: float, rng: np.random.Generator) -> Finding | None:
    """Everybody who reads also leans to the left."""
    where = pool("train")
    said = _said(where, rng, **({"left_bias": left_bias} if left_bias else {}))
    gate = GATES.sides
    return sides(
        said.left_chosen.astype(float).tolist(),
        where.prompts[said.pair].tolist(),
        margin=gate.margin,
        false_alarms=gate.false_alarms,
    )


def length_lovers(length_bias: float, rng: np.random.Generator) -> Finding | None:
    """Everybody who reads also loves long answers."""
    where = pool("train")
    said = _said(where, rng, **({"length_bias": length_bias} if length_bias else {}))
    first, second = where.words[said.pair].T
    unlike = first != second
    gate = GATES.lengths
    return lengths(
        ((first > second) == said.first_chosen)[unlike].astype(float).tolist(),
        where.prompts[said.pair][unlike].tolist(),
        margin=gate.margin,
        false_alarms=gate.false_alarms,
    )


def flipped_sign(knowledge: float, rng: np.random.Generator) -> Finding | None:
    """A reward whose sign is flipped, of one that is right in a share 1/2 + |knowledge| of held-out
    pairs; above 0 it is flipped, below it is as it should be.
    """
    prompts = np.arange(HELDOUT) % len(set(pool("heldout").prompts.tolist()))
    accuracy = 0.5 - knowledge
    of_prompt = rng.beta(UNLIKE * accuracy, UNLIKE * (1 - accuracy), prompts.max() + 1)
    correct = rng.random(HELDOUT) < of_prompt[prompts]
    return sign(
        correct.astype(float).tolist(), prompts.tolist(), false_alarms=GATES.sign.false_alarms
    )


def many_spammers(count: float, rng: np.random.Generator) -> Finding | None:
    """So many of the sixteen do not read; `PER_ITEM` people label each pair."""
    where = pool("train")
    people = _crowd(count, rng)
    said = ask(where, people, TRAIN + HELDOUT, rng, per_item=PER_ITEM)
    raters = [people.people[at].name for at in said.person]
    first = said.first_chosen.tolist()
    gate = GATES.spammers
    return spammers(
        raters,
        first,
        one_coin(said.item.tolist(), raters, first, right=RIGHT, wrong=WRONG),
        Counter(raters),
        share=gate.share,
        false_alarms=gate.false_alarms,
    )


def mostly_spammers(count: float, rng: np.random.Generator) -> Finding | None:
    """The same, seen by how much people agree: more than half do not read, so nobody stands out."""
    where = pool("train")
    said = ask(where, _crowd(count, rng), TRAIN + HELDOUT, rng, per_item=PER_ITEM)
    items = said.item.tolist()
    gate = GATES.agreement
    return agreement(
        said.first_chosen.tolist(), items, items, least=gate.least, false_alarms=gate.false_alarms
    )


def swapped_rows(share: float, rng: np.random.Generator) -> Finding | None:
    """Half of the labels come from an import of which a share stands the wrong way round; what is
    right is told by words, as surely as in the demo (`KNOWN`).
    """
    prompts = np.arange((TRAIN + HELDOUT) // 2) % PROMPTS
    of_prompt = rng.beta(UNLIKE * KNOWN, UNLIKE * (1 - KNOWN), PROMPTS)[prompts]

    def hits(swapped_share: float) -> Hits:
        turned = rng.random(len(prompts)) < swapped_share
        right = (rng.random(len(prompts)) < of_prompt) != turned
        return Hits(right.astype(float).tolist(), prompts.tolist())

    people, imported = hits(0.0), hits(share)
    gate = GATES.swapped
    return swapped(
        {"people": (people, imported), "import": (imported, people)},
        by="a simple reward",
        share=gate.share,
        false_alarms=gate.false_alarms,
    )


def _crowd(spammers: float, rng: np.random.Generator) -> Crowd:
    return crowd(int(rng.integers(SEEDS)), spammers=round(spammers))


def _said(where: Pool, rng: np.random.Generator, **traits: float) -> Labels:
    """As many labels as the demo's, by the people of another world every time."""
    return ask(where, crowd(int(rng.integers(SEEDS)), **traits), TRAIN + HELDOUT, rng)
