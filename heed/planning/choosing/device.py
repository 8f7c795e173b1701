"""What follows from the model's size and the machine: precision, the split of batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from heed.planning.choosing.facts import Facts, Reason, said

HALF = {True: 100e6, False: 10e6}
"""Weights, on a GPU and without one, below which bfloat16 saves little, and its rounding is not
worth it."""
MICRO = {True: 16384, False: 4096}
"""Padded tokens of a forward pass, on a GPU and without one, before memory is looked at."""
FEWEST = 512
SIDE_BY_SIDE = {True: 256, False: 64}
"""Answers that are drawn side by side, likewise."""
FEWEST_ROWS = 8
RANK = 16


def precision(facts: Facts) -> Reason:
    """float32, or bfloat16 where the device computes in it and the model is large."""
    device = "GPU" if facts.cuda else "processor"
    if not facts.half:
        return Reason("dtype", "float32", f"this {device} has no bfloat16 of its own")
    if facts.weights < HALF[facts.cuda]:
        why = f"{said(facts.weights)} weights are few enough for full precision"
        return Reason("dtype", "float32", why)
    why = f"the {device} computes in it; weights in training stay float32"
    return Reason("dtype", "bfloat16", why)


@dataclass(frozen=True, slots=True)
class Load:
    """How much is held at once: adapters or whole models, and what passes through them together."""

    lora: bool
    micro_tokens: int
    rows: int


def loads(facts: Facts, adapter: str | None) -> Iterator[Load]:
    """From what is fastest and fullest to what holds least; `adapter` is "lora", "full" or None for
    whichever fits first.
    """
    for lora in (False, True) if adapter is None else (adapter == "lora",):
        micro, rows = MICRO[facts.cuda], SIDE_BY_SIDE[facts.cuda]
        while True:
            yield Load(lora, micro, rows)
            if micro == FEWEST and rows == FEWEST_ROWS:
                break
            micro, rows = max(FEWEST, micro // 2), max(FEWEST_ROWS, rows // 2)


def adapters(load: Load, adapter: str | None) -> str:
    """Why the models train whole or by an adapter."""
    if adapter is not None:
        return "you asked for it"
    if load.lora:
        return "whole models with their gradients and moments do not fit into the free memory"
    return "whole models with their gradients and moments fit into the free memory"


def split(facts: Facts, load: Load) -> str:
    """Why so many tokens pass at once."""
    if load.micro_tokens < MICRO[facts.cuda]:
        return "as many as the free memory holds; the gradient is that of the whole batch"
    device = "a GPU" if facts.cuda else "a CPU"
    return f"enough to keep {device} busy; the gradient is that of the whole batch"
