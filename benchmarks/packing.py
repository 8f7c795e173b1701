"""Packed training against padded: the same demonstrations, steps and gradients, tokens a second.

    OMP_NUM_THREADS=1 python -m benchmarks.packing [--rounds 7]

Forward and backward of whole optimiser steps on the embedded world's demonstrations, the two
layouts in turn (A B A B ...), in one process; what is printed is the ratio of the medians and the
spread round by round.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from heed.models.language_model import new_language_model
from heed.models.rows import conversation_rows
from heed.offline import Offline
from heed.ops.batch import Sequences, laid_out
from heed.ops.order import Order
from heed.policies.sft import sft
from heed.recipe import Pretrain
from heed.world.world import World

STEPS = 8


def rate(method: Offline[Sequences], micro_tokens: int) -> float:
    """Real tokens a second."""
    began, tokens = time.perf_counter(), 0
    for iteration in range(STEPS):
        (batch,) = method.batches(iteration)
        method.module.zero_grad()
        for micro in batch.split(micro_tokens):
            (term,) = method.loss(micro)
            term.total.backward()
        tokens += int(batch.cost().sum())
    return tokens / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    world = World(0)
    model = new_language_model(world.tokenizer(), Pretrain().architecture, seed=0)
    rows = conversation_rows(model.chat, world.demonstrations(1500), 256)
    lengths = rows.cost().float()
    print(
        f"{len(rows)} demonstrations of {lengths.min():.0f} to {lengths.max():.0f} tokens, "
        f"{lengths.mean():.1f} on average"
    )
    for batch, micro_tokens in ((32, 1600), (64, 3200), (256, 16384)):
        order = Order(len(rows), batch, 0)
        layouts = [
            sft(model, layout, order) for layout in (laid_out(rows, False), laid_out(rows, True))
        ]
        seen = [[rate(method, micro_tokens) for method in layouts] for _ in range(rounds + 1)][1:]
        padded, together = (statistics.median(rates) for rates in zip(*seen, strict=True))
        ratios = sorted(b / a for a, b in seen)
        print(
            f"batch {batch:3d}, micro_tokens {micro_tokens:5d}: {padded:6.0f} -> {together:6.0f} "
            f"tokens/s, {together / padded:.2f} x  (rounds {ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


if __name__ == "__main__":
    main()
