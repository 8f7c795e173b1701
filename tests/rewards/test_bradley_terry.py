"""Training a reward model."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from heed.evaluation.accuracy import correctness
from heed.models.language_model import save_language_model
from heed.models.reward_model import RewardModel, new_reward_model
from heed.models.rows import pair_rows
from heed.ops.batch import Pairs
from heed.ops.order import Order
from heed.rewards.bradley_terry import reward_modelling
from heed.rewards.learned import LearnedReward
from heed.trainer import Monitor, Trainer
from heed.types import Comparison

FILLERS = ["red", "green two", "one", "blue blue", "maybe", "two one red", "", "green"]


@pytest.fixture
def reward_model(toy_lm: Any, tmp_path: Path) -> RewardModel:
    save_language_model(toy_lm(), tmp_path / "policy")
    return new_reward_model(tmp_path / "policy", device="cpu", dtype="float32", seed=1)


def pairs(prompts: Any, good: str, bad: str, margin: float = 0.0) -> list[Comparison]:
    """The good word, somewhere in an answer, is preferred to the bad one."""
    return [
        Comparison(
            prompts[i % 6], f"{filler} {good} {filler}", f"{bad} {filler}", margin, 1.0 + i % 2
        )
        for i, filler in enumerate(FILLERS)
    ]


def train(model: RewardModel, data: Pairs, run: Any) -> list[dict[str, Any]]:
    method = reward_modelling(model, data, Order(len(data), 4, 0))
    monitor = Monitor("accuracy")
    Trainer(
        method=method, settings=run.stage, run=run, iterations=40, seed=0, monitor=monitor
    ).train()
    return [json.loads(line) for line in (run.run / "metrics.jsonl").read_text().splitlines()]


def test_the_loss_counts_weights_and_margins(reward_model: RewardModel, toy_prompts: Any) -> None:
    data = pair_rows(reward_model.chat, pairs(toy_prompts, "yes", "no", margin=0.5), 64)
    method = reward_modelling(reward_model, data, Order(8, 8, 0))
    terms = {term.name: term for term in method.loss(data)}
    chosen = reward_model.scores(data.chosen).tolist()
    rejected = reward_model.scores(data.rejected).tolist()
    expected = sum(
        weight * math.log1p(math.exp(-(good - bad - 0.5)))
        for good, bad, weight in zip(chosen, rejected, data.weight.tolist(), strict=True)
    )
    assert terms["bradley_terry"].total.item() == pytest.approx(expected, rel=1e-4)
    assert data.counts()[terms["bradley_terry"].count] == 12.0


def test_it_learns_separable_preferences(
    reward_model: RewardModel, toy_prompts: Any, place: Any
) -> None:
    found = pairs(toy_prompts, "yes", "no")
    data = pair_rows(reward_model.chat, found, 64)
    rows = train(reward_model, data, place(optim={"lr": 0.01}))
    assert [row["accuracy"] for row in rows[-5:]] == [1.0] * 5
    assert rows[-1]["bradley_terry"] < 0.1
    unseen = [Comparison(toy_prompts[1], "yes one", "no one")]
    score = LearnedReward(reward_model, context=64)
    assert correctness(score, [*found, *unseen]) == [1.0] * 9


def test_a_flipped_label_flips_the_reward(
    reward_model: RewardModel, toy_prompts: Any, place: Any
) -> None:
    data = pair_rows(reward_model.chat, pairs(toy_prompts, "no", "yes"), 64)
    train(reward_model, data, place(optim={"lr": 0.01}))
    score = LearnedReward(reward_model, context=64)
    assert correctness(score, pairs(toy_prompts, "yes", "no")) == [0.0] * 8
