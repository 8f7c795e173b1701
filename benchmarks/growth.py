"""How time grows with batch, length and vocabulary, for Heed and for its peer, in float32.

    python -m benchmarks.growth [--rounds 1]

Rollouts of 64 tokens and optimiser steps of DPO by a model of the 1M kind, one thing changed at a
time: completions (or pairs) side by side, tokens of an answer (their median), words known.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

from benchmarks import rollouts, training
from benchmarks.harness import Comparison, apart, compare
from benchmarks.material import SIZES, Size
from benchmarks.workshop import Workshop

BASE = "1M"
ROLLOUTS, PAIRS = (8, 32, 128), (4, 64)
MEDIANS = (192,)
VOCABULARIES = (16384,)
ROWS = 64
"""Pairs that each comparison of DPO goes through, in its two steps."""


def of_vocabulary(words: int) -> Size:
    return replace(SIZES[BASE], vocabulary=words)


def drawn(shop: Workshop, size: str, batches: Sequence[int], rounds: int) -> list[Comparison]:
    """Rollouts of fixed length, in float32."""
    known = shop.sizes[size]
    asked = {name: texts for name, texts in rollouts.cases(known, batches).items()
             if name.startswith("fixed")}  # fmt: skip
    sides = [side for side in rollouts.sides(shop, size, asked) if side.name.endswith("fp32")]
    check = rollouts.same_tokens("heed fp32", "generate fp32")
    return apart(compare(f"growth, rollouts {size}", sides, rounds, check))


def trained(shop: Workshop, size: str, batch: int, name: str, rounds: int) -> Comparison:
    """DPO's optimiser steps."""
    sides = [
        training.ours(shop, size, "dpo", "float32", 1, batch),
        training.theirs(shop, size, "dpo", "float32", 1, batch=batch),
    ]
    check = training.same_losses(["heed fp32", "trl fp32"])
    return compare(f"growth, dpo {name}", sides, rounds, check)


def measure(rounds: int) -> list[Comparison]:
    """All points; the 1M model with 16 pairs stands among the comparisons of training."""
    found: list[Comparison] = []
    rows = ROWS * (rounds + 1)
    with Workshop({BASE: SIZES[BASE]}, pairs=rows) as shop:
        found += drawn(shop, BASE, ROLLOUTS, rounds)
        found += [trained(shop, BASE, batch, f"B{batch}", rounds) for batch in PAIRS]
    for median in MEDIANS:
        with Workshop({BASE: SIZES[BASE]}, pairs=rows, median=median) as shop:
            name = f"answers of {median}"
            found.append(trained(shop, BASE, training.BATCH, name, rounds))
    sizes = {f"V{words}": of_vocabulary(words) for words in VOCABULARIES}
    with Workshop(sizes, pairs=rows) as shop:
        for size in sizes:
            found += drawn(shop, size, (32,), rounds)
            found.append(trained(shop, size, training.BATCH, size, rounds))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1)
    for found in measure(parser.parse_args().rounds):
        print(found.table(), flush=True)


if __name__ == "__main__":
    main()
