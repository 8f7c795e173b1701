"""A reward model from comparisons, with an honest account of how well it predicts people."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from heed.data.labels import training_votes
from heed.errors import UserError
from heed.evaluation.accuracy import correctness
from heed.evaluation.baselines import length_baseline, tfidf_baseline
from heed.models.modes import disable_dropout
from heed.models.reward_model import (
    RewardModel,
    new_reward_model,
    with_adapter,
)
from heed.models.rows import pair_rows
from heed.offline import Offline
from heed.ops.order import Order
from heed.recipe import ProcessReward, Reward, RewardModelling, listed
from heed.rewards.bradley_terry import reward_modelling
from heed.rewards.confident import Confident
from heed.rewards.learned import LearnedReward
from heed.rewards.plackett_luce import Ranked, ranking_modelling, ranking_rows
from heed.run import StageRun
from heed.stages.kept import keep_reward_model
from heed.stages.workplace import Summary, Workplace, context_of
from heed.stats.intervals import Estimate, mean_interval, ratio_interval
from heed.trainer import Monitor
from heed.types import Annotation, Completion, Item, RewardFn

Splits = Mapping[str, Sequence[Any]]
"""What is learned from ("train") and measured on ("heldout"): comparisons, or rankings."""
Prepared = tuple[Offline[Any], Any]
"""The method over the training rows, and the held-out rows."""


def reward(work: Workplace, settings: Reward, stage: StageRun) -> Summary:
    """Leaves `model/`, calibrated to mean 0 and standard deviation 1 on the policy's samples."""
    examples = EXAMPLES[settings.loss](work, settings)
    score, summary = train_reward_model(
        work, settings, stage, examples, samples_of_policy(work, settings)
    )
    return {
        **summary,
        "comparisons": len(examples["train"]),
        **account(work, settings, score),
    }


def train_reward_model(
    work: Workplace,
    settings: RewardModelling,
    stage: StageRun,
    examples: Splits,
    samples: Sequence[Completion],
) -> tuple[LearnedReward, Summary]:
    """Train one model, calibrate it on samples of the policy, save it as `model/`."""
    model = started(work, settings, work.seed(stage.name))
    context = context_of(model, settings.context)
    seed = work.seed(stage.name, "order")
    method, heldout = METHODS[settings.loss](model, settings, examples, context, seed)
    summary = work.train_offline(
        stage,
        settings,
        method,
        heldout,
        epochs=settings.epochs,
        monitor=Monitor("heldout_accuracy"),
        shown=[settings.loss, "accuracy", "heldout_accuracy"],
    )
    score = LearnedReward(model, context=context)
    mean, std = _scores_of_policy(settings, score, samples)
    model.calibrate(mean, std)
    keep_reward_model(stage, model)
    if settings.keep == "best":
        chosen = "The checkpoint was chosen on the held-out pairs: its accuracy flatters it."
        summary = {**summary, "notes": [*summary.get("notes", []), chosen]}
    return score, {**summary, "calibrated_from": {"mean": mean, "std": std}}


def started(work: Workplace, settings: RewardModelling | ProcessReward, seed: int) -> RewardModel:
    """The policy's backbone, or another's, under a fresh head; an adapter with `lora`."""
    given = settings.models()
    source = given[0] if given else work.policy_source(settings.policy)
    model = new_reward_model(source, device=str(work.device), dtype="float32", seed=seed)
    disable_dropout(model.model)
    if settings.lora is None:
        return model
    lora = settings.lora
    return with_adapter(model, rank=lora.rank, alpha=lora.alpha, targets=lora.targets, seed=seed)


def pairs(work: Workplace, settings: RewardModelling) -> Splits:
    """The comparisons of the stage that has them."""
    return {
        split: work.comparisons(settings.comparisons, name)
        for split, name in (("train", "comparisons"), ("heldout", "heldout"))
    }


def rankings(work: Workplace, settings: RewardModelling) -> Splits:
    """The labels of a collect stage, each as one ranking (of two answers, where it is a grade)."""
    found: dict[str, list[Ranked]] = {"train": [], "heldout": []}
    for source in listed(settings.comparisons):
        items = {item.id: item for item in work.records(source, "items", Item)}
        said = work.records(source, "annotations", Annotation)
        for label in training_votes(said, items, split="all").labels:
            item, ranks = items[label.item], label.ranks
            if ranks is not None and len(set(ranks)) > 1:  # a tie of all says nothing of an order
                found[item.prompt.split].append(Ranked(item.prompt, item.answers, ranks))
    return found


EXAMPLES: Mapping[str, Callable[[Workplace, RewardModelling], Splits]] = {
    "bradley_terry": pairs,
    "plackett_luce": rankings,
}


def _on_pairs(
    model: RewardModel, settings: RewardModelling, examples: Splits, context: int, seed: int
) -> Prepared:
    train, heldout = (pair_rows(model.chat, examples[s], context) for s in ("train", "heldout"))
    order = Order(len(train), settings.batch, seed)
    if settings.confidence is not None:
        warmup = settings.confidence.warmup * order.steps(settings.epochs)
        trusted = Confident(model, train, order, alpha=settings.confidence.alpha, warmup=warmup)
        return trusted, heldout
    return reward_modelling(model, train, order, centring_coef=settings.centring), heldout


def _on_rankings(
    model: RewardModel, settings: RewardModelling, examples: Splits, context: int, seed: int
) -> Prepared:
    train, heldout = (ranking_rows(model.chat, examples[s], context) for s in ("train", "heldout"))
    return ranking_modelling(model, train, Order(len(train), settings.batch, seed)), heldout


METHODS: Mapping[str, Callable[[RewardModel, RewardModelling, Splits, int, int], Prepared]] = {
    "bradley_terry": _on_pairs,
    "plackett_luce": _on_rankings,
}


def samples_of_policy(work: Workplace, settings: RewardModelling) -> list[Completion]:
    """Answers to training prompts, on which scores are calibrated."""
    sampler = work.sampler(work.policy(settings.policy), settings.sampling, settings.policy)
    prompts = work.askable(settings.records, "train", sampler)
    order = Order(len(prompts), settings.calibration, work.seed(settings.name, "calibration"))
    asked = [prompts[i] for i in order.indices(0).tolist()]
    return sampler.sample(asked, seed=work.seed(settings.name, "samples"))


def _scores_of_policy(
    settings: RewardModelling, score: LearnedReward, samples: Sequence[Completion]
) -> tuple[float, float]:
    """Mean and standard deviation of the scores on the samples."""
    scores = np.array(score(samples))
    if scores.std() == 0:
        raise UserError(
            f"{settings.name}: the reward model gives every sample the same score, so it cannot be "
            "calibrated. Train it longer or on more comparisons."
        )
    return float(scores.mean()), float(scores.std())


def account(work: Workplace, settings: RewardModelling, score: RewardFn) -> dict[str, Any]:
    """Held-out accuracy beside what is possible and beside what is trivial, with intervals."""
    comparisons = pairs(work, settings)
    train, heldout = comparisons["train"], comparisons["heldout"]
    prompts = [item.prompt.id for item in heldout]

    def estimate(values: Sequence[float]) -> Estimate:
        return mean_interval(values, prompts)

    accuracy = correctness(score, heldout)
    found: dict[str, Any] = {
        "accuracy": estimate(accuracy).to_json(),
        "baselines": {
            "length": estimate(length_baseline(train, heldout)).to_json(),
            "tfidf": estimate(tfidf_baseline(train, heldout)).to_json(),
        },
    }
    ceilings = [work.path(name, "ceiling.json") for name in listed(settings.comparisons)]
    if all(path.exists() for path in ceilings):
        ceiling = [each for path in ceilings for each in json.loads(path.read_text("utf-8"))]
        found["noise_ceiling"] = estimate(ceiling).to_json()
        found["chance_corrected"] = ratio_interval(
            np.array(accuracy) - 0.5, np.array(ceiling) - 0.5, prompts
        ).to_json()
    return found
