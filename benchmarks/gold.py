"""Gold reward against seconds: DPO on the embedded world by Heed and by a script of TRL's.

    python -m benchmarks.gold --run DIR [--rounds 6] [--figure gold.svg]

DIR is a finished run of the demo. Both sides start from its SFT policy and take the same steps on
its comparisons, in the same order at the same rate, in float32; so they get the same policies, and
what differs is when. After every round of steps the policy is kept, and judged afterwards: the mean
gold reward of answers to held-out prompts. The clocks hold the optimiser steps alone.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

from benchmarks.harness import Comparison, Side, compare
from benchmarks.material import in_order, write_rows
from benchmarks.training import same_losses
from benchmarks.workshop import Workshop

BATCH, STEPS, ROUNDS = 64, 10, 6
RATE = 3e-5
PROMPTS = 256
"""Held-out prompts that a policy answers to be judged."""


@dataclass(frozen=True)
class Curve:
    """One side's way: seconds since the start, and gold there, with its standard error."""

    side: str
    seconds: list[float]
    gold: list[tuple[float, float]]


def sides(run: Path, place: Path, rounds: int, python: Path) -> list[Side]:
    """Both sides on a run's comparisons; policies are kept in `place`."""
    from heed.files import read_records
    from heed.models.source import load_tokenizer
    from heed.types import Comparison as Pair

    records = place / "records"
    records.mkdir(parents=True)
    shutil.copy(run / "records" / "prompts.jsonl", records)
    wanted = (rounds + 1) * STEPS * BATCH
    for name, most in (("comparisons", wanted), ("heldout", 1)):
        lines = (run / "collect" / f"{name}.jsonl").read_text("utf-8").splitlines()[:most]
        (records / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    pairs = read_records(records / "comparisons.jsonl", Pair)
    words = load_tokenizer(run / "sft" / "policy")

    def written(pair: Pair) -> str:
        turns = [{"role": turn.role, "content": turn.content} for turn in pair.prompt.messages]
        text: str = words.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        return text

    rows = [
        {"prompt": written(pair), "chosen": pair.chosen, "rejected": pair.rejected}
        for pair in pairs
    ]
    write_rows(place / "rows.jsonl", list(islice(in_order(rows, "dpo", BATCH), wanted)))
    optim = {"lr": RATE, "schedule": "constant"}
    shared: dict[str, Any] = {"kind": "dpo", "precision": "float32", "steps": STEPS}
    return [
        Side.heed(
            "heed", "benchmarks.heed_sides.offline", folder=str(run), records=str(place),
            work=str(place / "own"), models=[("pretrain", "policy", "sft/policy")],
            settings={"policy": "pretrain", "comparisons": "records", "batch": BATCH,
                      "optim": optim}, keep=str(place / "heed"), **shared,
        ),
        Side.peer(
            "trl", python, "benchmarks.trl_sides.offline", model=str(run / "sft" / "policy"),
            work=str(place / "peer"), rows=str(place / "rows.jsonl"), batch=BATCH, rate=RATE,
            keep=str(place / "trl"), between="", **shared,
        ),
    ]  # fmt: skip


def complete(policy: Path, start: Path) -> None:
    """Give a folder of weights what it lacks of the one that both sides started from: tokenizer and
    chat format.
    """
    for file in start.iterdir():
        if not (policy / file.name).exists():
            shutil.copy(file, policy)


def judged(policy: Path, run: Path) -> tuple[float, float]:
    """Mean gold of answers to held-out prompts, and its standard error."""
    import torch

    from heed.files import read_records
    from heed.models.language_model import load_language_model
    from heed.sampling.local import LocalSampler
    from heed.types import Prompt
    from heed.world.gold import GoldReward
    from heed.world.world import World

    complete(policy, run / "sft" / "policy")
    prompts = [p for p in read_records(run / "records" / "prompts.jsonl", Prompt)
               if p.split == "heldout"][:PROMPTS]  # fmt: skip
    sampler = LocalSampler(load_language_model(policy, device="cpu"), max_new_tokens=32)
    gold = torch.tensor(GoldReward(World(0))(sampler.sample(prompts, seed=0)))
    return float(gold.mean()), float(gold.std() / len(gold) ** 0.5)


def measure(run: Path, rounds: int = ROUNDS) -> tuple[Comparison, list[Curve]]:
    """The comparison, and both sides' curves from the SFT policy on."""
    with Workshop() as shop:
        place = shop.own()
        both = sides(run.resolve(), place, rounds, shop.peer("trl"))
        found = compare("dpo on the embedded world", both, rounds, same_losses(["heed", "trl"]))
        start = place / "start"
        shutil.copytree(run / "sft" / "policy", start)
        first = judged(start, run)
        curves = []
        for side, seen in found.rounds.items():
            clocks = [found.warming[side].seconds, *(one.seconds for one in seen)]
            gold = [judged(place / side / str(at), run) for at in range(len(clocks))]
            curves.append(Curve(side, [0.0, *accumulate(clocks)], [first, *gold]))
        return found, curves


def table(curves: list[Curve]) -> str:
    """In Markdown: a row a round."""
    names = " | ".join(f"{c.side}: seconds | gold" for c in curves)
    lines = [f"| steps | {names} |", "|---" * (1 + 2 * len(curves)) + "|"]
    for at in range(len(curves[0].seconds)):
        cells = [
            f"{c.seconds[at]:.1f} | {c.gold[at][0]:.2f} +- {c.gold[at][1]:.2f}" for c in curves
        ]
        lines.append(f"| {at * STEPS} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(curves: list[Curve], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.5))
    for curve in curves:
        mean, error = zip(*curve.gold, strict=True)
        axes.errorbar(curve.seconds, mean, yerr=error, label=curve.side, capsize=2)
    axes.set(xlabel="seconds of optimiser steps", ylabel="gold reward, held-out prompts")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="a finished run of the demo")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--figure", type=Path, help="an SVG or PNG to draw")
    given = parser.parse_args()
    found, curves = measure(given.run, given.rounds)
    print(found.table(), table(curves), sep="\n")
    if given.figure:
        draw(curves, given.figure)


if __name__ == "__main__":
    main()
