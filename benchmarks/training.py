"""Training on fixed data, Heed against TRL: SFT, reward modelling, DPO.

    python -m benchmarks.training [--quick] [--sizes 1M 25M] [--kinds sft reward dpo] [--rounds 3]

16 pairs (SFT: their chosen answers) an optimiser step, answers lognormal around 48 tokens, prompts
of 16 to 32; same weights, rows, order and optimiser. In float32 the losses of all steps must agree
to 1e-3 and the gradients' norms to 1%; both sides also run in bfloat16. TRL computes DPO's
reference log-probs beforehand, as Heed does; where a smaller micro-batch makes it faster
(`FASTER`; `--search` tries anew), that runs as well.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.harness import Check, Comparison, Side, Unequal, compare
from benchmarks.workshop import PRECISIONS, Workshop, precisions, sizes_and_rounds

BATCH = 16
KINDS = ("sft", "reward", "dpo")
STEPS = {"1M": 6}
"""A round; 2 where it is not said."""
FASTER: Mapping[tuple[str, str], tuple[str, str]] = {
    ("dpo", "1M"): ("float32", "micro 2"),
    ("reward", "1M"): ("float32", "micro 2"),
    ("dpo", "25M"): ("bfloat16", "micro 4"),
}
"""By kind and size TRL's fastest setting, a precision and one of `CANDIDATES`, where `--search`
found it clearly faster than to take all rows at once."""
CANDIDATES: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "micro 8": {"micro": 8},
    "micro 4": {"micro": 4},
    "micro 2": {"micro": 2},
    "micro 1": {"micro": 1},
    "half weights": {"half": True},
    "padding-free": {"more": {"padding_free": True}},
}
OPTIM = {"lr": 1e-5, "schedule": "constant"}
MODELS = {"sft": "plain", "dpo": "plain", "reward": "reward"}


def ours(
    shop: Workshop, size: str, kind: str, precision: str, steps: int, batch: int = BATCH
) -> Side:
    reads = {"sft": {}, "dpo": {"comparisons": "records", "policy": "pretrain"},
             "reward": {"comparisons": "records", "policy": "pretrain", "calibration": 2,
                        "sampling": {"max_new_tokens": 2}}}[kind]  # fmt: skip
    return Side.heed(
        f"heed {PRECISIONS[precision]}",
        "benchmarks.heed_sides.offline",
        folder=str(shop.folder(size)),
        work=str(shop.own()),
        models=[("pretrain", "policy", "plain")],
        kind=kind,
        settings={"batch": batch, "optim": OPTIM, **reads},
        precision=precision,
        steps=steps,
    )


def theirs(
    shop: Workshop,
    size: str,
    kind: str,
    precision: str,
    steps: int,
    name: str = "trl",
    *,
    batch: int = BATCH,
    **settings: Any,
) -> Side:
    return Side.peer(
        f"{name} {PRECISIONS[precision]}",
        shop.peer("trl"),
        "benchmarks.trl_sides.offline",
        model=str(shop.folder(size) / MODELS[kind]),
        work=str(shop.own()),
        rows=str(shop.rows(size, kind, batch)),
        kind=kind,
        batch=batch,
        precision=precision,
        steps=steps,
        **settings,
    )


def same_losses(sides: Sequence[str]) -> Check:
    """In float32: every step's loss to 1e-3, the gradient's norm to 1%, and the tokens."""

    def check(said: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        first, *others = (
            {key: [x for each in said[side] for x in _listed(each[key])] for key in _TOLERANCES}
            for side in sides
        )
        for side, other in zip(sides[1:], others, strict=True):
            for key, (absolute, relative) in _TOLERANCES.items():
                for at, (a, b) in enumerate(zip(first[key], other[key], strict=True)):
                    if abs(a - b) > absolute + relative * abs(a):
                        raise Unequal(f"{key} {at}: {a} by {sides[0]}, {b} by {side}")

    return check


_TOLERANCES = {"losses": (1e-3, 0.0), "norms": (1e-4, 1e-2), "tokens": (0.0, 0.0)}


def _listed(value: Any) -> list[float]:
    return value if isinstance(value, list) else [value]


def measure(shop: Workshop, size: str, kind: str, rounds: int) -> Comparison:
    """Ours and TRL's, in float32 and, where the processor multiplies it, bfloat16."""
    steps = STEPS.get(size, 2)
    sides = []
    for precision in precisions():
        sides.append(ours(shop, size, kind, precision, steps))
        sides.append(theirs(shop, size, kind, precision, steps))
    precision, name = FASTER.get((kind, size), ("", ""))
    if precision in precisions():
        settings = CANDIDATES[name]
        sides.append(theirs(shop, size, kind, precision, steps, f"trl {name}", **settings))
    return compare(f"{kind} {size}", sides, rounds, same_losses(["heed fp32", "trl fp32"]))


def search(shop: Workshop, size: str, kind: str, rounds: int) -> Comparison:
    """TRL's settings against each other."""
    sides = [
        theirs(shop, size, kind, precision, 1, name, **settings)
        for precision in precisions()
        for name, settings in CANDIDATES.items()
        if (kind == "sft" or "more" not in settings)
        and (precision != "float32" or "half" not in settings)
    ]
    return compare(f"{kind} {size}", sides, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--search", action="store_true", help="try TRL's settings instead")
    given = sizes_and_rounds(parser)
    with Workshop() as shop:
        for size in given.sizes:
            for kind in given.kinds:
                act = search if given.search else measure
                found = act(shop, size, kind, given.rounds)
                print(found.table(), flush=True)


if __name__ == "__main__":
    main()
