"""Replays of faults in what people said."""

from __future__ import annotations

import numpy as np

from benchmarks.faults.crowds import HELDOUT, TRAIN, Labels, Pool, ask, crowd, pool
from heed.gates.finding import Finding
from heed.gates.labels import lengths, sides
from heed.gates.sign import sign
from heed.recipe import Gates

GATES = Gates()
"""The thresholds that a recipe has where it says nothing."""
SEEDS = 2**31
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


def _said(where: Pool, rng: np.random.Generator, **traits: float) -> Labels:
    """As many labels as the demo's, by the people of another world every time."""
    return ask(where, crowd(int(rng.integers(SEEDS)), **traits), TRAIN + HELDOUT, rng)
