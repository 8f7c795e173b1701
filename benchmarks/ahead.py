"""Rounds drawn one ahead against rounds drawn in turn: seconds, CPU seconds and gold.

    heed run quickstart --out runs/demo
    python -m benchmarks.ahead runs/demo [--kind rloo] [--iterations 24] [--rounds 1] [--threads 1]

Two stages that differ by `ahead` alone, by turns (A B A B ...), in a copy of a finished run of the
recipe quickstart. Printed are medians over iterations: the clock, the learner's CPU, what of it
is drawing or the proximal policy's forward pass, and the other process's CPU; then the gold reward
of answers to held-out prompts, with the difference prompt by prompt.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from heed.cli.run import carry_out
from heed.config import load_recipe
from heed.files import read_records
from heed.models.language_model import load_language_model
from heed.policies.policy_gradient import PolicyGradient
from heed.recipe import STAGES
from heed.sampling.ahead import AheadSampler
from heed.sampling.local import LocalSampler
from heed.stats.intervals import mean_interval
from heed.trainer import Trainer
from heed.types import Prompt
from heed.world.gold import GoldReward
from heed.world.world import World

SETTINGS: dict[str, dict[str, Any]] = {
    "ppo": {"value_lr_scale": 3.0},
    "rloo": {"epochs": 2, "minibatches": 2},
    "reinforce": {"epochs": 2, "minibatches": 2},
}
SAMPLES, SEED = 8, 11
SPENT: dict[str, list[float]] = {}


def timed(kind: type, name: str, key: str, clock: Callable[[], float]) -> None:
    """Let a method of a class note what it takes."""
    plain = getattr(kind, name)

    def noting(*given: Any, **more: Any) -> Any:
        began = clock()
        try:
            return plain(*given, **more)
        finally:
            SPENT.setdefault(key, []).append(clock() - began)

    setattr(kind, name, noting)


def note_the_other() -> None:
    """The other process's CPU seconds, whenever its answers are here."""
    collect = AheadSampler.collect

    def noting(self: AheadSampler) -> list[str]:
        answers = collect(self)
        stat = Path(f"/proc/{self.worker.process.pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(stat[11]) + int(stat[12])
        SPENT.setdefault("other so far", []).append(ticks / os.sysconf("SC_CLK_TCK"))
        return answers

    AheadSampler.collect = noting  # type: ignore[method-assign]


def medians() -> str:
    """What was noted, an iteration, without the first."""
    so_far = SPENT.pop("other so far", [])
    SPENT["other process"] = [b - a for a, b in itertools.pairwise(so_far)]
    found = {name: statistics.median(each[1:]) for name, each in SPENT.items() if len(each) > 1}
    SPENT.clear()
    return ", ".join(f"{name} {seconds:.3f} s" for name, seconds in found.items())


def train(run: Path, options: argparse.Namespace, name: str, ahead: dict[str, Any] | None) -> None:
    given = {"iterations": options.iterations, "kl": {"coef": 0.15}, "ahead": ahead, "name": name}
    given |= {"optim": {"lr": 3e-4, "micro_tokens": 3200}, **SETTINGS.get(options.kind, {})}
    stage = STAGES[options.kind].model_validate(given)
    quiet = [f"gates.{gate}.action=off" for gate in ("step", "leash", "draws", "logprobs")]
    recipe = load_recipe("quickstart", [f"threads={options.threads}", *quiet])
    recipe = recipe.model_copy(update={"stages": (*recipe.stages, stage)})
    carry_out(recipe, run, fresh=False, only=name)
    print(f"{name}: {medians()}", flush=True)


def gold(run: Path, name: str) -> list[float]:
    """The mean of each held-out prompt's answers."""
    every = read_records(run / "records" / "prompts.jsonl", Prompt)
    prompts = [prompt for prompt in every if prompt.split == "heldout"]
    lm = load_language_model(run / name / "policy", device="cpu", dtype="float32")
    answers = LocalSampler(lm, max_new_tokens=32).sample(prompts, n=SAMPLES, seed=SEED)
    world = load_recipe("quickstart").world
    scores = GoldReward(World(world.seed, world.families))(answers)
    return [statistics.fmean(scores[at : at + SAMPLES]) for at in range(0, len(scores), SAMPLES)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--kind", choices=["ppo", "rloo", "grpo", "reinforce"], default="rloo")
    parser.add_argument("--iterations", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    timed(Trainer, "_iterate", "by the clock", time.perf_counter)
    timed(Trainer, "_iterate", "learner's CPU", time.process_time)
    timed(LocalSampler, "sample", "of it drawing", time.process_time)
    timed(PolicyGradient, "_logprobs", "of it the proximal policy", time.process_time)
    note_the_other()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        shutil.copytree(options.run, run)
        for turn in range(options.rounds):
            names = [f"{options.kind}-plain-{turn}", f"{options.kind}-ahead-{turn}"]
            for name, ahead in zip(names, (None, {}), strict=True):
                train(run, options, name, ahead)
            plain, late = (gold(run, name) for name in names)
            lost = [b - a for a, b in zip(plain, late, strict=True)]
            for name, values in (("plain", plain), ("ahead", late), ("ahead - plain", lost)):
                found = mean_interval(values)
                print(f"gold, {name}: {found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]")


if __name__ == "__main__":
    main()
