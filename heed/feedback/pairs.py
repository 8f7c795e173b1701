"""Pairs of answers to compare, drawn from a sampler."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from heed.types import Completion, Pair, Prompt, Sampler

CHUNK = 256
"""Prompts sampled at a time, between two steps of the progress bar."""


def sample_pairs(
    sampler: Sampler,
    prompts: Sequence[Prompt],
    count: int,
    *,
    seed: int,
    name: str,
    progress: Callable[[int], None],
) -> list[Pair]:
    """`count` pairs of finished, unlike answers, prompts taken in turn, sides at random.

    A prompt whose two answers came out alike, or were cut before their end, gives no pair and
    comes round again; after ten rounds of nothing new, fewer pairs are returned.
    """
    draw = random.Random(seed)
    pairs: list[Pair] = []
    order = list(prompts)
    fruitless = 0
    while len(pairs) < count and fruitless < 10:
        draw.shuffle(order)
        before = len(pairs)
        for start in range(0, len(order), CHUNK):
            wanted = order[start : start + min(CHUNK, count - len(pairs))]
            completions = sampler.sample(wanted, n=2, seed=draw.getrandbits(62))
            for first, second in zip(completions[::2], completions[1::2], strict=True):
                if _comparable(first, second):
                    if draw.random() < 0.5:
                        first, second = second, first  # noqa: PLW2901
                    pairs.append(_pair(f"{name}-{len(pairs)}", first, second))
            progress(min(len(pairs), count))
            if len(pairs) >= count:
                break
        fruitless = fruitless + 1 if len(pairs) == before else 0
    return pairs[:count]


def _comparable(first: Completion, second: Completion) -> bool:
    finished = first.finish == second.finish == "stop"
    return finished and first.text.strip() != second.text.strip()


def _pair(id: str, left: Completion, right: Completion) -> Pair:
    return Pair(id, left.prompt, left.text, right.text, left.model, right.model)
