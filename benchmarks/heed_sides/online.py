"""GRPO, RLOO and PPO by Heed: whole iterations of sampling, scoring, learning.

    python -m benchmarks.heed_sides.online SPECIFICATION

`steps`: iterations a round. The rest is `act_in_stage`'s.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from benchmarks.heed_sides.staged import Clock, Rows, act_in_stage, threads
from benchmarks.serving import Stage
from heed.trainer import Trainer
from heed.types import Completion, Prompt, Sampler


class TimedSampler:
    """A sampler with a clock, that counts the tokens of its answers."""

    def __init__(self, sampler: Sampler) -> None:
        self.clock = Clock(sampler.sample)
        self.tokens = 0

    def sample(self, prompts: list[Prompt], *, n: int = 1, seed: int = 0) -> list[Completion]:
        found: list[Completion] = self.clock(prompts, n=n, seed=seed)
        self.tokens += sum(len(each.ids) for each in found)
        return found


class TimedRounds:
    """A method's batches, with what passes until an iteration gives its first."""

    def __init__(self, method: Any) -> None:
        self.batches = method.batches
        self.seconds = 0.0

    def __call__(self, iteration: int) -> Iterator[Any]:
        began = time.perf_counter()
        for at, batch in enumerate(self.batches(iteration)):
            if at == 0:
                self.seconds += time.perf_counter() - began
            yield batch


def main(stage: Stage) -> None:
    def act(trainer: Trainer[Any], rows: Rows) -> None:
        method = trainer.method
        sampler, rounds = TimedSampler(method.sampler), TimedRounds(method)  # type: ignore[attr-defined]
        method.sampler, method.batches = sampler, rounds  # type: ignore[attr-defined,method-assign]
        for one in stage.rounds(threads=threads()):
            done = len(rows)
            sampler.clock.seconds, sampler.tokens, rounds.seconds = 0.0, 0, 0.0
            for _ in range(stage.given["steps"]):
                trainer._iterate()
            one.said["tokens"] = sampler.tokens
            one.said["generate"] = sampler.clock.seconds
            one.said["score"] = rounds.seconds - sampler.clock.seconds
            one.said["rewards"] = [row["proxy"] for row in rows[done:]]

    act_in_stage(stage.given, act)


if __name__ == "__main__":
    main(Stage.of_arguments())
