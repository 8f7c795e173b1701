"""Items to annotate: prompts with two or more answers, drawn from a sampler."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from heed.types import Completion, Item, Prompt, Sampler

CHUNK = 256
"""Prompts sampled at a time, between two steps of the progress bar."""


def sample_items(
    sampler: Sampler,
    prompts: Sequence[Prompt],
    count: int,
    *,
    seed: int,
    name: str,
    progress: Callable[[int], None],
    answers: int = 2,
) -> list[Item]:
    """`count` items of finished, unlike answers, prompts taken in turn, places at random.

    A prompt two of whose answers came out alike, or were cut before their end, gives no item and
    comes round again; after ten rounds of nothing new, fewer items are returned.
    """
    draw = random.Random(seed)
    items: list[Item] = []
    order = list(prompts)
    fruitless = 0
    while len(items) < count and fruitless < 10:
        draw.shuffle(order)
        before = len(items)
        for start in range(0, len(order), CHUNK):
            wanted = order[start : start + min(CHUNK, count - len(items))]
            completions = sampler.sample(wanted, n=answers, seed=draw.getrandbits(62))
            for first in range(0, len(completions), answers):
                group = completions[first : first + answers]
                if _comparable(group):
                    items.append(_item(f"{name}-{len(items)}", _placed(group, draw)))
            progress(min(len(items), count))
            if len(items) >= count:
                break
        fruitless = fruitless + 1 if len(items) == before else 0
    return items[:count]


def _comparable(group: Sequence[Completion]) -> bool:
    finished = all(answer.finish == "stop" for answer in group)
    return finished and len({answer.text.strip() for answer in group}) == len(group)


def _placed(group: Sequence[Completion], draw: random.Random) -> list[Completion]:
    """The answers in a random order (Fisher-Yates): who wrote one must not tell its place."""
    placed = list(group)
    for i in range(1, len(placed)):
        j = int(draw.random() * (i + 1))
        placed[i], placed[j] = placed[j], placed[i]
    return placed


def _item(id: str, group: Sequence[Completion]) -> Item:
    texts = tuple(answer.text for answer in group)
    return Item(id, group[0].prompt, texts, tuple(answer.model for answer in group))
