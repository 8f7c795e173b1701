"""Policy gradients, Heed against TRL: whole iterations of GRPO, RLOO and PPO.

    python -m benchmarks.online [--quick] [--sizes 1M 25M] [--kinds grpo rloo ppo] [--rounds 3]
    python -m benchmarks.online --search        # TRL's micro-batches against each other

64 completions of 48 tokens (their ends given by a countdown model, `benchmarks.material`), prompts
of 16 to 32, temperature 1. GRPO and RLOO: groups of 8, a reward that costs nothing, one optimiser
step. PPO: a reward model and a critic of the policy's size, 4 passes; TRL 1.10, the last that has
it. Both sides draw by random numbers of their own, so what is checked is that they wrote as many
tokens and got like rewards; that losses and gradients are TRL's is held in tests/losses.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import scoring
from benchmarks.harness import Comparison, Side, Unequal, compare
from benchmarks.workshop import PRECISIONS, Workshop, precisions, sizes_and_rounds

KINDS = ("grpo", "rloo", "ppo")
BATCH, GROUP, LONGEST, EPOCHS = 64, 8, 48, 4
STEPS = {"1M": 2}
"""Iterations a round; 1 where it is not said."""
RATE = {"lr": 1e-6, "schedule": "constant"}
LIKE = 0.2
"""How far the mean rewards of two samples of 64 answers may lie apart."""
FASTER: Mapping[tuple[str, str], tuple[str, int]] = {
    ("grpo", "25M"): ("bfloat16", 16),
    ("rloo", "25M"): ("bfloat16", 16),
    ("ppo", "25M"): ("bfloat16", 16),
}
"""By kind and size a precision and the completions at a time at which TRL is fastest, where
`--search` found it clearly faster than to take all at once (RLOO's are GRPO's)."""
MICROS = (64, 16, 4)
"""Completions that TRL may learn from at a time."""
SCORE = f"{Path(scoring.__file__)}:reward"


def ours(shop: Workshop, size: str, kind: str, precision: str) -> Side:
    own = {"epochs": EPOCHS, "minibatches": 1} if kind == "ppo" else {"group": GROUP}
    reward: dict[str, Any] = {"name": "reward", "policy": "pretrain"}
    learned = kind == "ppo"
    before = {"reward": {**reward, "comparisons": "records"}} if learned else {
        "function": {**reward, "call": SCORE}}  # fmt: skip
    return Side.heed(
        f"heed {PRECISIONS[precision]}",
        "benchmarks.heed_sides.online",
        folder=str(shop.folder(size)),
        records=str(shop.asked(size, LONGEST, BATCH)),
        work=str(shop.own()),
        models=[("pretrain", "policy", "countdown"), *([("reward", "model", "reward")] * learned)],
        before=[before],
        kind=kind,
        settings={
            "policy": "pretrain",
            "rollouts": BATCH,
            "sampling": {"max_new_tokens": LONGEST},
            "optim": RATE,
            **own,
        },
        precision=precision,
        steps=STEPS.get(size, 1),
    )


def theirs(
    shop: Workshop, size: str, kind: str, precision: str, name: str = "trl", **settings: Any
) -> Side:
    module, peer = ("ppo", "trl-ppo") if kind == "ppo" else ("groups", "trl")
    records = shop.asked(size, LONGEST, BATCH)
    return Side.peer(
        f"{name} {PRECISIONS[precision]}",
        shop.peer(peer),
        f"benchmarks.trl_sides.{module}",
        model=str(shop.folder(size) / "countdown"),
        reward=str(shop.folder(size) / "reward"),
        prompts=str(records / "asked.json"),
        work=str(shop.own()),
        kind=kind,
        batch=BATCH,
        group=GROUP,
        longest=LONGEST,
        epochs=EPOCHS,
        precision=precision,
        steps=STEPS.get(size, 1),
        rate=RATE["lr"],
        **settings,
    )


def alike(said: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """As many tokens, and like rewards where they are a function of the text."""
    names = list(said)
    for name in names[1:]:
        for one, other in zip(said[names[0]], said[name], strict=True):
            tokens = [each["tokens"] for each in (one, other)]
            if tokens[0] != tokens[1]:
                raise Unequal(f"{names[0]} wrote {tokens[0]} tokens, {name} {tokens[1]}")
            apart = abs(one["rewards"][0] - other["rewards"][0])
            if apart > LIKE:
                raise Unequal(f"the rewards of {names[0]} and {name} lie {apart:.2f} apart")


def measure(shop: Workshop, size: str, kind: str, rounds: int) -> Comparison:
    """Ours and TRL's in every precision; four passes are long enough without warming up."""
    sides = []
    for precision in precisions():
        sides += [side(shop, size, kind, precision) for side in (ours, theirs)]
    precision, micro = FASTER.get((kind, size), ("", 0))
    if precision in precisions():
        sides.append(theirs(shop, size, kind, precision, f"trl micro {micro}", micro=micro))
    return compare(f"{kind} {size}", sides, rounds, alike, warm=(kind, size) != ("ppo", "25M"))


def search(shop: Workshop, size: str, kind: str, rounds: int) -> list[Comparison]:
    """TRL's micro-batches against each other, a precision at a time: all sides hold memory."""
    return [
        compare(
            f"{kind} {size}",
            [
                theirs(shop, size, kind, precision, f"micro {micro}", micro=micro)
                for micro in MICROS
            ],
            rounds,
            warm=(kind, size) != ("ppo", "25M"),
        )
        for precision in precisions()
    ]


def parts(found: Comparison) -> str:
    """Where each side's time goes, of the last round."""
    lines = []
    for side, rounds in found.rounds.items():
        last = rounds[-1]
        generate, score = (float(last.said[name]) for name in ("generate", "score"))
        learn = last.seconds - generate - score
        lines.append(
            f"  {side:<14} generate {generate:.3f} s, score {score:.3f} s, learn {learn:.3f} s"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--search", action="store_true", help="try TRL's settings instead")
    given = sizes_and_rounds(parser)
    with Workshop() as shop:
        for size in given.sizes:
            for kind in given.kinds:
                if given.search:
                    several = search(shop, size, kind, given.rounds)
                else:
                    several = [measure(shop, size, kind, given.rounds)]
                for found in several:
                    print(found.table(), parts(found), sep="\n", flush=True)


if __name__ == "__main__":
    main()
