"""Rollouts by Heed: `LocalSampler` as a stage makes it.

    python -m benchmarks.heed_sides.rollouts SPECIFICATION

`model`: a directory; `prompts`: texts, a list a case; `longest`; `precision`. A round answers the
prompts of every case, cases one after the other, each with a clock of its own. The first round's
answers are greedy: they are what both sides must agree on.
"""

from __future__ import annotations

import time

import torch

from benchmarks.serving import Stage
from heed.memory import keep_freed
from heed.models.language_model import load_language_model
from heed.models.modes import disable_dropout
from heed.recipe import Sampling
from heed.sampling.local import LocalSampler
from heed.types import Prompt


def main(stage: Stage) -> None:
    given = stage.given
    lm = load_language_model(given["model"], device="cpu", dtype="float32")
    disable_dropout(lm.model)
    keep_freed()
    half = given["precision"] == "bfloat16"
    cases = {
        name: [Prompt.of(text, id=str(at)) for at, text in enumerate(texts)]
        for name, texts in given["prompts"].items()
    }
    greedy = True
    for one in stage.rounds(threads=torch.get_num_threads()):
        clocks, counts, said = {}, {}, {}
        for name, prompts in cases.items():
            sampler = LocalSampler(
                lm,
                max_new_tokens=given["longest"],
                temperature=0.0 if greedy else 1.0,
                batch_size=max(len(prompts), Sampling().batch_size),
            )
            began = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=half, cache_enabled=False):
                answers = sampler.sample(prompts, seed=1)
            clocks[name] = time.perf_counter() - began
            counts[name] = sum(len(answer.ids) for answer in answers)
            said[name] = [list(answer.ids) for answer in answers] if greedy else []
        greedy = False
        one.said.update(clocks=clocks, counts=counts, answers=said)


if __name__ == "__main__":
    main(Stage.of_arguments())
