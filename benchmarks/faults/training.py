"""Replays of faults in what is trained on, and in how."""

from __future__ import annotations

import math
import random
from functools import cache

import numpy as np
from numpy.typing import NDArray

from benchmarks.faults.labels import UNLIKE
from heed.gates.direction import leash, step
from heed.gates.finding import Finding
from heed.gates.leakage import leakage
from heed.gates.levels import rollout_gap
from heed.gates.rollouts import draws
from heed.recipe import Gates
from heed.world.world import World

GATES = Gates()
WORLDS = 50
"""Worlds among whose prompts a replay chooses."""
ANSWERS, TOKENS = 256, 10
"""Of a round that `draws` looks at: answers, and tokens of an answer on average."""
ROUND, ROUNDS = 128, 24
"""Of a run by rollout servers: answers a round, rounds."""
STEP_PAIRS, STEP_PROMPTS, LEASH_PROMPTS = 256, 114, 64
"""Of the demo: what `step` and `leash` look at."""
SKEW = math.sqrt(math.log(5))
"""Of a log-normal variable whose standard deviation is twice its mean."""
CHOICES, CONCENTRATION = 16, 0.02
"""Of the Dirichlet distributions of next tokens."""


@cache
def _texts(seed: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    world = World(seed)
    train, heldout = (
        tuple(prompt.text for prompt in world.prompts if prompt.split == split)
        for split in ("train", "heldout")
    )
    return train, heldout


def leaked_prompts(share: float, rng: np.random.Generator) -> Finding | None:
    """A share of the held-out prompts stands in the training data, other marks and capitals."""
    train, heldout = _texts(int(rng.integers(WORLDS)))
    copies = [
        text.rstrip("?.!").lower() if rng.random() < 0.5 else f"  {text}"
        for text in rng.choice(heldout, rng.binomial(len(heldout), share), replace=False)
    ]
    training = [*train, *copies]
    random.Random(int(rng.integers(2**31))).shuffle(training)
    gate = GATES.leakage
    return leakage(list(heldout), training, similarity=gate.similarity, share=gate.share)


def wrong_temperature(temperature: float, rng: np.random.Generator) -> Finding | None:
    """Answers drawn at a temperature, where training computes that of 1."""
    lengths = 1 + rng.poisson(TOKENS - 1, ANSWERS)
    of_answer = np.repeat(np.arange(ANSWERS), lengths)
    p, _, token = _drawn(temperature, len(of_answer), rng)
    surprisal = -np.log(p[np.arange(len(p)), token])
    entropy = -(p * np.log(p)).sum(axis=1)
    return draws(
        np.bincount(of_answer, surprisal).tolist(),
        np.bincount(of_answer, entropy).tolist(),
        range(ANSWERS),
        false_alarms=GATES.draws.false_alarms,
    )


def warm_server(temperature: float, rng: np.random.Generator) -> Finding | None:
    """Rounds by a server that draws at a temperature, and reports the log-probs of that."""
    gaps = []
    for _ in range(ROUNDS):
        tokens = int(rng.poisson(TOKENS * ROUND))
        p, drew, token = _drawn(temperature, tokens, rng)
        at = np.arange(tokens), token
        gaps.append(float(np.abs(np.log(drew[at]) - np.log(p[at])).mean()))
    gate = GATES.rollout_gap
    return rollout_gap(gaps, budget=gate.budget, iterations=ROUNDS, false_alarms=gate.false_alarms)


def _drawn(
    temperature: float, tokens: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Next-token distributions, what becomes of them at a temperature, and a token of each of that.

    They are Dirichlet's: most tokens are nearly certain, some are a choice, and the entropy is .39
    nats a token, that of the demo's SFT policy.
    """
    p = np.maximum(rng.dirichlet(np.full(CHOICES, CONCENTRATION), tokens), 1e-12)
    p /= p.sum(axis=1, keepdims=True)
    drew = p ** (1 / temperature)
    drew /= drew.sum(axis=1, keepdims=True)
    token = np.minimum((rng.random((tokens, 1)) > drew.cumsum(axis=1)).sum(axis=1), CHOICES - 1)
    return p, drew, token


def both_signs(knowledge: float, rng: np.random.Generator) -> Finding | None:
    """The objective is negated, of a reward that is right in a share 1/2 + knowledge of pairs;
    below 0 it is as it should be. A pair's part of the update goes with its scores' difference.
    How often it is right differs from prompt to prompt.
    """
    prompts = np.arange(STEP_PAIRS) % STEP_PROMPTS
    accuracy = 0.5 - knowledge
    of_prompt = rng.beta(UNLIKE * accuracy, UNLIKE * (1 - accuracy), STEP_PROMPTS)
    right = rng.random(STEP_PAIRS) < of_prompt[prompts]
    gains = np.where(right, 1, -1) * rng.exponential(size=STEP_PAIRS)
    gate = GATES.step
    return step(gains.tolist(), prompts.tolist(), false_alarms=gate.false_alarms)


def flipped_leash(share: float, rng: np.random.Generator) -> Finding | None:
    """KL pushes away at a share of the prompts. Its parts are skewed as in a small run, in which
    all had one sign and a mean of half their standard deviation (log-normal).
    """
    away = rng.random(LEASH_PROMPTS) < share
    pulls = np.where(away, -1, 1) * rng.lognormal(sigma=SKEW, size=LEASH_PROMPTS)
    gate = GATES.leash
    return leash(pulls.tolist(), range(LEASH_PROMPTS), false_alarms=gate.false_alarms)
