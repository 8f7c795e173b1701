"""Training a reward model on rankings; and centred scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from heed.models.language_model import save_language_model
from heed.models.reward_model import RewardModel, new_reward_model
from heed.models.rows import pair_rows
from heed.ops.order import Order
from heed.rewards.bradley_terry import reward_modelling
from heed.rewards.learned import LearnedReward
from heed.rewards.plackett_luce import Ranked, ranking_modelling, ranking_rows
from heed.trainer import Monitor, Trainer
from heed.types import Comparison, Completion

FILLERS = ["red", "green two", "one", "blue blue", "maybe", "two one red", "", "green"]


@pytest.fixture
def reward_model(toy_lm: Any, tmp_path: Path) -> RewardModel:
    save_language_model(toy_lm(), tmp_path / "policy")
    return new_reward_model(tmp_path / "policy", device="cpu", dtype="float32", seed=1)


def ranked(prompts: Any) -> list[Ranked]:
    """Good is better than maybe, maybe better than bad; every other ranking has two answers."""
    found = []
    for i, filler in enumerate(FILLERS):
        answers = (f"bad {filler}", f"good {filler}", f"{filler} maybe")
        ranks = (3, 1, 2)
        places = slice(0, 2 + i % 2)
        cut = tuple(sorted(set(ranks[places])).index(rank) + 1 for rank in ranks[places])
        found.append(Ranked(prompts[i % 6], answers[places], cut, 1.0 + i % 2))
    return found


def train(method: Any, run: Any) -> list[dict[str, Any]]:
    Trainer(
        method=method, settings=run.stage, run=run, iterations=40, seed=0, monitor=Monitor("none")
    ).train()
    return [json.loads(line) for line in (run.run / "metrics.jsonl").read_text().splitlines()]


def test_scores_fall_in_their_places(reward_model: RewardModel, toy_prompts: Any) -> None:
    examples = ranked(toy_prompts)
    data = ranking_rows(reward_model.chat, examples, 64)
    method = ranking_modelling(reward_model, data, Order(8, 8, 0))
    found = method.loss(data)[0].total.item()
    expected = 0.0
    score = LearnedReward(reward_model, context=64)
    for each in examples:
        scores = torch.tensor(score([Completion(each.prompt, text) for text in each.answers]))
        order = sorted(range(len(each.ranks)), key=each.ranks.__getitem__)
        rest = [scores[order[place:]] for place in range(len(order))]
        expected += each.weight * sum(float(left.logsumexp(0) - left[0]) for left in rest)
    assert found == pytest.approx(expected, rel=1e-4)
    assert data.counts()["weight"] == 12.0


def test_it_learns_an_order(reward_model: RewardModel, toy_prompts: Any, place: Any) -> None:
    data = ranking_rows(reward_model.chat, ranked(toy_prompts), 64)
    rows = train(ranking_modelling(reward_model, data, Order(8, 4, 0)), place(optim={"lr": 0.01}))
    assert [row["accuracy"] for row in rows[-5:]] == [1.0] * 5
    assert rows[-1]["plackett_luce"] < 0.2
    texts = ["good one red", "one red maybe", "bad one red"]
    scores = LearnedReward(reward_model, context=64)([Completion(toy_prompts[1], t) for t in texts])
    assert scores == sorted(scores, reverse=True)


def test_centring_brings_the_mean_to_0(
    toy_lm: Any, toy_prompts: Any, place: Any, tmp_path: Path
) -> None:
    save_language_model(toy_lm(), tmp_path / "policy")
    found = [Comparison(toy_prompts[i % 6], f"yes {f}", f"no {f}") for i, f in enumerate(FILLERS)]
    means = {}
    for coef in (0.0, 0.1):
        model = new_reward_model(tmp_path / "policy", device="cpu", dtype="float32", seed=1)
        model.model.config.heed_offset = 3.0  # far off
        data = pair_rows(model.chat, found, 64)
        method = reward_modelling(model, data, Order(8, 4, 0), centring_coef=coef)
        rows = train(method, place(f"run-{coef}", optim={"lr": 0.01}))
        assert rows[-1]["accuracy"] == 1.0
        assert ("centring" in rows[-1]) == (coef > 0)
        texts = [Completion(each.prompt, t) for each in found for t in (each.chosen, each.rejected)]
        means[coef] = abs(sum(LearnedReward(model, context=64)(texts)) / 16)
    assert means[0.0] > 1.0 > 4 * means[0.1]
