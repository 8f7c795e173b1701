"""A reward that trains nothing: what it says of a policy's samples, and of what people chose."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from heed.evaluation.accuracy import correctness
from heed.ops.order import Order
from heed.recipe import WrittenReward
from heed.run import StageRun
from heed.stages.workplace import Summary, Workplace
from heed.stats.intervals import mean_interval
from heed.types import Comparison


def written(work: Workplace, settings: WrittenReward, stage: StageRun) -> Summary:
    """Leaves its marker only: the scores' mean and spread, and the share that is not 0."""
    notes: list[str] = []
    reward = replace(work, say=notes.append).reward(settings.name)
    sampler = work.sampler(work.policy(settings.policy), settings.sampling, settings.policy)
    prompts = work.askable(settings.records, "train", sampler)
    order = Order(len(prompts), settings.samples, work.seed(stage.name, "prompts"))
    asked = [prompts[i] for i in order.indices(0).tolist()]
    completions = sampler.sample(asked, seed=work.seed(stage.name, "samples"))
    scores = np.array(reward(completions))
    clusters = [each.prompt.id for each in completions]
    found: dict[str, Any] = {
        "samples": len(scores),
        "score": mean_interval(scores.tolist(), clusters).to_json(),
        "std": float(scores.std()),
        "not_zero": float((scores != 0).mean()),
    }
    if scores.std() == 0:
        notes.append(f"Each of {len(scores)} samples scores {scores[0]:g}: nothing to learn from.")
    if settings.comparisons is not None:
        heldout = work.records(settings.comparisons, "heldout", Comparison)
        compared = [item.prompt.id for item in heldout]
        found["accuracy"] = mean_interval(correctness(reward, heldout), compared).to_json()
    return {**found, "notes": [*notes, *work.left_out(settings.records, "train", prompts)]}
