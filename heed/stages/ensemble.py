"""An ensemble: several reward models, each on a bootstrap of the comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from heed.evaluation.accuracy import correctness
from heed.ranks import Ranks
from heed.recipe import Ensemble
from heed.rewards.ensemble import bootstrap
from heed.rewards.learned import LearnedReward
from heed.run import StageRun
from heed.stages.reward import EXAMPLES, Splits, account, samples_of_policy, train_reward_model
from heed.stages.rewards import combined, member_folder, models
from heed.stages.workplace import Summary, Workplace
from heed.stats.intervals import mean_interval
from heed.types import Completion


def ensemble(work: Workplace, settings: Ensemble, stage: StageRun) -> Summary:
    """Leaves `member-0/model/` and so on, each calibrated on the same samples of the policy.

    A member is a stage within the stage: finished ones are skipped, an unfinished one goes on from
    its checkpoint.
    """
    examples = EXAMPLES[settings.loss](work, settings)
    samples = samples_of_policy(work, settings)
    tokens = 0.0
    for number in range(settings.members):
        member = _member(settings, stage, number)
        if member.done() is None:
            tokens += _train(work, settings, member, examples, samples)
        else:
            tokens += member.done_summary()["tokens"]
    Ranks.here().wait()  # until the first process has saved them
    members = [
        work.learned_reward(stage.name, folder, settings.context) for folder in models(settings)
    ]
    return {
        "members": settings.members,
        "comparisons": len(examples["train"]),
        "tokens": tokens,
        **account(work, settings, combined(settings, members)),
        **_spread(work, settings, members, samples),
    }


def _member(settings: Ensemble, stage: StageRun, number: int) -> StageRun:
    """The place of one member: a folder, a marker and rows of metrics of its own."""
    own = settings.model_copy(update={"name": f"{settings.name}.{number}"})
    return replace(stage, stage=own, directory=stage.directory / member_folder(number))


def _train(
    work: Workplace,
    settings: Ensemble,
    member: StageRun,
    examples: Splits,
    samples: Sequence[Completion],
) -> float:
    """Train one member to its end, mark it as finished; the tokens that it took."""
    member.start()
    Ranks.here().wait()
    train = bootstrap(examples["train"], work.seed(member.name, "bootstrap"))
    own = {**examples, "train": train}
    _, summary = train_reward_model(work, settings, member, own, samples)
    member.finish(member.seconds_logged(), summary)
    return float(summary["tokens"])


def _spread(
    work: Workplace,
    settings: Ensemble,
    members: Sequence[LearnedReward],
    samples: Sequence[Completion],
) -> dict[str, Any]:
    """What the members are worth alone, and how far apart they are on the policy's samples."""
    heldout = work.comparisons(settings.comparisons, "heldout")
    prompts = [item.prompt.id for item in heldout]
    scores = combined(settings, list(members)).scores(samples)
    together = combined(settings, list(members))(samples)
    return {
        "member_accuracy": [
            mean_interval(correctness(member, heldout), prompts).to_json() for member in members
        ],
        "spread": float(scores.std(axis=0).mean()),
        "scores_of_policy": {"mean": float(np.mean(together)), "std": float(np.std(together))},
    }
