"""A reward model from comparisons, with an honest account of how well it predicts people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from heed.errors import UserError
from heed.evaluation.baselines import length_baseline, tfidf_baseline
from heed.models.modes import disable_dropout
from heed.models.reward_model import new_reward_model, save_reward_model
from heed.models.rows import pair_rows
from heed.offline import Offline
from heed.ops.batch import Pairs
from heed.ops.order import Order
from heed.recipe import Reward, listed
from heed.rewards.accuracy import correctness
from heed.rewards.bradley_terry import reward_modelling
from heed.rewards.confident import Confident
from heed.rewards.learned import LearnedReward
from heed.run import StageRun
from heed.stages.workplace import Summary, Workplace, context_of
from heed.stats.intervals import Estimate, mean_interval, ratio_interval
from heed.trainer import Monitor
from heed.types import Comparison


def reward(work: Workplace, settings: Reward, stage: StageRun) -> Summary:
    """Leaves `model/`, calibrated to mean 0 and standard deviation 1 on the policy's samples."""
    train = work.comparisons(settings.comparisons, "comparisons")
    heldout = work.comparisons(settings.comparisons, "heldout")
    model = new_reward_model(
        work.policy_source(settings.policy),
        device=str(work.device),
        dtype="float32",
        seed=work.seed(stage.name),
    )
    disable_dropout(model.model)
    context = context_of(model, settings.context)
    data = pair_rows(model.chat, train, context)
    order = Order(len(data), settings.batch, work.seed(stage.name, "order"))
    method: Offline[Pairs] = reward_modelling(model, data, order)
    if settings.confidence is not None:
        warmup = settings.confidence.warmup * order.steps(settings.epochs)
        method = Confident(model, data, order, alpha=settings.confidence.alpha, warmup=warmup)
    summary = work.train_offline(
        stage,
        settings,
        method,
        pair_rows(model.chat, heldout, context),
        epochs=settings.epochs,
        monitor=Monitor("heldout_accuracy"),
        shown=["bradley_terry", "accuracy", "heldout_accuracy"],
    )
    score = LearnedReward(model, context=context)
    mean, std = _scores_of_policy(work, settings, score)
    model.calibrate(mean, std)
    if stage.writes:
        save_reward_model(model, stage.directory / "model")
    if settings.keep == "best":
        chosen = "The checkpoint was chosen on the held-out pairs: its accuracy flatters it."
        summary = {**summary, "notes": [*summary.get("notes", []), chosen]}
    return {
        **summary,
        "comparisons": len(train),
        "calibrated_from": {"mean": mean, "std": std},
        **_account(work, settings, score, train, heldout),
    }


def _scores_of_policy(
    work: Workplace, settings: Reward, score: LearnedReward
) -> tuple[float, float]:
    """Mean and standard deviation of the scores on samples for training prompts."""
    sampler = work.sampler(work.policy(settings.policy), settings.sampling, settings.policy)
    prompts = work.askable(settings.records, "train", sampler)
    order = Order(len(prompts), settings.calibration, work.seed(settings.name, "calibration"))
    asked = [prompts[i] for i in order.indices(0).tolist()]
    scores = np.array(score(sampler.sample(asked, seed=work.seed(settings.name, "samples"))))
    if scores.std() == 0:
        raise UserError(
            f"{settings.name}: the reward model gives every sample the same score, so it cannot be "
            "calibrated. Train it longer or on more comparisons."
        )
    return float(scores.mean()), float(scores.std())


def _account(
    work: Workplace,
    settings: Reward,
    score: LearnedReward,
    train: Sequence[Comparison],
    heldout: Sequence[Comparison],
) -> dict[str, Any]:
    """Held-out accuracy beside what is possible and beside what is trivial, with intervals."""
    prompts = [item.prompt.id for item in heldout]

    def estimate(values: Sequence[float]) -> Estimate:
        return mean_interval(values, prompts)

    accuracy = correctness(score, heldout)
    account: dict[str, Any] = {
        "accuracy": estimate(accuracy).to_json(),
        "baselines": {
            "length": estimate(length_baseline(train, heldout)).to_json(),
            "tfidf": estimate(tfidf_baseline(train, heldout)).to_json(),
        },
    }
    ceilings = [work.path(stage, "ceiling.json") for stage in listed(settings.comparisons)]
    if all(path.exists() for path in ceilings):
        ceiling = [each for path in ceilings for each in json.loads(path.read_text("utf-8"))]
        account["noise_ceiling"] = estimate(ceiling).to_json()
        account["chance_corrected"] = ratio_interval(
            np.array(accuracy) - 0.5, np.array(ceiling) - 0.5, prompts
        ).to_json()
    return account
