"""LoRA with one base for policy, reference, value and reward against a base for each.

    OMP_NUM_THREADS=1 python -m benchmarks.shared_base [--rounds 2]

A base of 26M weights and a reward model that is an adapter on it are made once; then `heed run`
trains a stage of PPO and one of RLOO, with `lora` and with `lora: {share: true}` in turn (A B A B),
each in a process of its own, whose peak memory is what the system says of it, less that of a
process that only imports. RLOO's rows of metrics must be the same on both sides; PPO's critic
trains in full where it has a base of its own, so there only the first round's samples must be.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ARCHITECTURE = (
    "{model_type: llama, hidden_size: 512, intermediate_size: 1408, num_hidden_layers: 8, "
    "num_attention_heads: 8, num_key_value_heads: 8, max_position_embeddings: 256, "
    "tie_word_embeddings: true}"
)
SHORT = "sampling: {max_new_tokens: 16}"
BASE = f"""\
name: shared_base
threads: 1
device: cpu
stages:
  - records: {{corpus: 300, demonstrations: 40}}
  - pretrain: {{architecture: {ARCHITECTURE}, batch: 32, optim: {{lr: 3e-3, micro_tokens: 1600}}}}
  - collect: {{policies: [pretrain], comparisons: 24, heldout: 8, {SHORT}}}
  - reward: {{policy: pretrain, batch: 16, calibration: 16, lora: {{rank: 8}},
             optim: {{lr: 1e-2, micro_tokens: 1600}}, {SHORT}}}
"""
STAGE = f"policy: pretrain, iterations: 2, rollouts: 8, checkpoint_every: 99, {SHORT}"
METHODS = ("ppo", "rloo")
SIDES = {"apart": "lora: {rank: 8}", "shared": "lora: {rank: 8, share: true}"}
IMPORTS = "import heed.pipeline, heed.cli.run"
BEFORE_LEARNING = ("proxy", "length", "unfinished")
MEBI = 1 << 20


@dataclass(frozen=True)
class Seen:
    """What one process did."""

    peak: float
    """MiB, beyond what imports take."""
    seconds: float
    """Of an iteration, the median; the first, which warms up, left out."""
    rows: list[dict[str, Any]]


def peak(command: list[str], log: Path) -> float:
    """Run a command to its end; the most memory that it held at once, in MiB."""
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(log.read_text())
    return usage.ru_maxrss * 1024 / MEBI


def heed(recipe: Path, run: Path) -> float:
    command = [sys.executable, "-m", "heed", "run", str(recipe), "--out", str(run)]
    return peak(command, run.with_suffix(".log"))


def rows(run: Path, file: str, stage: str) -> list[dict[str, Any]]:
    found = map(json.loads, (run / file).read_text().splitlines())
    return [row for row in found if row["stage"] == stage]


def measured(base: Path, method: str, side: str, imports: float) -> Seen:
    """Train the method in a copy of the base's run, which is removed again."""
    recipe, run = base.with_name(f"{method}-{side}.yaml"), base.with_name(f"{method}-{side}")
    recipe.write_text(f"{BASE}  - {method}: {{{STAGE}, {SIDES[side]}}}\n")
    shutil.copytree(base, run)
    held = heed(recipe, run) - imports
    clocks = [row["seconds"] for row in rows(run, "timing.jsonl", method)]
    seen = Seen(held, statistics.median(clocks[1:]), rows(run, "metrics.jsonl", method))
    shutil.rmtree(run)
    return seen


def check_same(method: str, apart: Seen, shared: Seen) -> None:
    """The two sides computed the same, up to rounding, where they are to."""
    pairs = list(zip(apart.rows, shared.rows, strict=True))
    if method == "ppo":
        pairs = [tuple({name: row[name] for name in BEFORE_LEARNING} for row in pairs[0])]
    for one, other in pairs:
        for name, value in one.items():
            if isinstance(value, float) and abs(value - other[name]) > 1e-4 * (1 + abs(value)):
                raise SystemExit(f"{method}: {name} is {value} apart and {other[name]} shared")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        base, recipe = Path(folder) / "base", Path(folder) / "base.yaml"
        recipe.write_text(BASE)
        imports = peak([sys.executable, "-c", IMPORTS], base.with_suffix(".log"))
        heed(recipe, base)
        summary = json.loads((base / "pretrain/done.json").read_text())["summary"]
        weights = summary["parameters"]
        print(f"a base of {weights / 1e6:.1f}M weights, {weights * 4 / MEBI:.0f} MiB")
        for method in METHODS:
            seen = [
                {side: measured(base, method, side, imports) for side in SIDES}
                for _ in range(rounds)
            ]
            for each in seen:
                check_same(method, each["apart"], each["shared"])
            print(f"{method:5}", _line(seen))


def _line(seen: list[dict[str, Seen]]) -> str:
    held = {side: statistics.median(each[side].peak for each in seen) for side in SIDES}
    took = {side: statistics.median(each[side].seconds for each in seen) for side in SIDES}
    ratios = sorted(each["apart"].peak / each["shared"].peak for each in seen)
    return (
        f"peak {held['apart']:5.0f} -> {held['shared']:5.0f} MiB, "
        f"{held['apart'] / held['shared']:.2f} x (rounds {ratios[0]:.2f} to {ratios[-1]:.2f}); "
        f"{took['apart']:.2f} -> {took['shared']:.2f} s an iteration, "
        f"{took['apart'] / took['shared']:.2f} x"
    )


if __name__ == "__main__":
    main()
