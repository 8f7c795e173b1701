"""Rollouts, Heed's `LocalSampler` against transformers' `generate`, which TRL samples by.

    python -m benchmarks.rollouts [--quick] [--sizes 1M 25M] [--rounds 3]

64 new tokens from prompts of 16 to 32, at temperature 1. The weights are a countdown model's
(`benchmarks.material`): an answer ends where its prompt's last word says, on both sides alike, by
the end of sequence and nothing else. `fixed`: all 64 tokens long; `mixed`: lognormal around 21, the
longest 64. The first round is greedy, and there both sides must write the same in float32. What
counts are tokens that belong to answers, not what is computed behind their ends.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.harness import Check, Comparison, Side, Unequal, apart, compare
from benchmarks.material import SIZES, Size, mixed_lengths, prompts
from benchmarks.workshop import Workshop, precisions, sizes_and_rounds

LONGEST = 64
BATCHES = {"1M": (64, 256), "25M": (16, 64, 256)}
ROUNDED = 0.02
"""Answers in which a near tie may have been decided by rounding: at 25M in 4 of 256, where the two
likeliest words lay 8e-5 apart at most, of logits of 68."""
QUICK = {"1M": (64,), "25M": (64,)}


def cases(size: Size, batches: Sequence[int], longest: int = LONGEST) -> dict[str, list[str]]:
    """The prompts of each case, by its name."""
    found = {}
    for batch in batches:
        found[f"fixed B{batch}"] = prompts(size, [longest] * batch)
        found[f"mixed B{batch}"] = prompts(size, mixed_lengths(batch, longest), seed=1)
    return found


def sides(shop: Workshop, size: str, asked: Mapping[str, Sequence[str]], longest: int = LONGEST,
          *, peers: bool = True) -> list[Side]:  # fmt: skip
    found = []
    for precision, short in precisions().items():
        given: dict[str, Any] = {
            "model": str(shop.folder(size) / "countdown"),
            "prompts": asked,
            "longest": longest,
            "precision": precision,
        }
        found.append(Side.heed(f"heed {short}", "benchmarks.heed_sides.rollouts", **given))
        if peers:
            python, module = shop.peer("trl"), "benchmarks.trl_sides.rollouts"
            found.append(Side.peer(f"generate {short}", python, module, **given))
    return found


def same_tokens(one: str, other: str) -> Check:
    """Of the greedy answers of two sides: all as long, and all but one in fifty the same: where
    two words are likeliest up to rounding, either may be written.
    """

    def check(said: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        mine, theirs = (said[side][0]["answers"] for side in (one, other))
        for case, answers in mine.items():
            both = list(zip(answers, theirs[case], strict=True))
            unlike = [at for at, (a, b) in enumerate(both) if a != b]
            if [len(a) for a, _ in both] != [len(b) for _, b in both]:
                raise Unequal(f"{case}: the answers of {one} and {other} are not as long")
            if len(unlike) > ROUNDED * len(both):
                raise Unequal(f"{case}: {one} and {other} differ in the answers {unlike}")

    return check


def measure(shop: Workshop, size: str, batches: Sequence[int], rounds: int) -> list[Comparison]:
    """One comparison a case; memory is that of a side's process, with all cases in it."""
    asked = cases(SIZES[size], batches)
    check = same_tokens("heed fp32", "generate fp32")
    return apart(compare(f"rollouts {size}", sides(shop, size, asked), rounds, check))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    given = sizes_and_rounds(parser)
    with Workshop() as shop:
        for size in given.sizes:
            batches = (QUICK if given.quick else BATCHES)[size]
            for found in measure(shop, size, batches, given.rounds):
                print(found.table(), flush=True)


if __name__ == "__main__":
    main()
