"""A reward model that may disagree with its labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from heed.models.language_model import save_language_model
from heed.models.reward_model import RewardModel, new_reward_model
from heed.models.rows import pair_rows
from heed.ops.order import Order
from heed.rewards.bradley_terry import reward_modelling
from heed.rewards.confident import Confident
from heed.types import Comparison


@pytest.fixture
def reward_model(toy_lm: Any, tmp_path: Path) -> RewardModel:
    save_language_model(toy_lm(), tmp_path / "policy")
    return new_reward_model(tmp_path / "policy", device="cpu", dtype="float32", seed=1)


def data(model: RewardModel, prompts: Any) -> Any:
    items = [
        Comparison(prompt, "yes one", "no " * (1 + at), weight=0.25 + 0.1 * at)
        for at, prompt in enumerate(prompts)
    ]
    return pair_rows(model.chat, items, 64)


def gradient(method: Any, batches: Any, counts: Any) -> torch.Tensor:
    method.module.zero_grad()
    for batch in batches:
        for term in method.loss(batch):
            if term.weight:
                (term.weight * term.total / counts[term.count]).backward(retain_graph=True)
    return torch.cat([w.grad.flatten() for w in method.module.parameters() if w.grad is not None])


def test_alpha_rises_with_the_iteration_and_then_stays(
    reward_model: RewardModel, toy_prompts: Any
) -> None:
    rows = data(reward_model, toy_prompts)
    method = Confident(reward_model, rows, Order(6, 3, 0), alpha=0.5, warmup=4.0)
    alphas = []
    for iteration in (0, 1, 2, 4, 9):
        (batch,) = method.batches(iteration)
        alphas.append({term.name: term.weight for term in method.loss(batch)}["confidence"])
    assert alphas == pytest.approx([0, 0.125, 0.25, 0.5, 0.5])
    at_once = Confident(reward_model, rows, Order(6, 3, 0), alpha=0.5, warmup=0.0)
    (batch,) = at_once.batches(0)
    assert at_once.loss(batch)[1].weight == 0.5


def test_before_the_first_step_it_is_plain_reward_modelling(
    reward_model: RewardModel, toy_prompts: Any
) -> None:
    rows = data(reward_model, toy_prompts)
    plain = reward_modelling(reward_model, rows, Order(6, 6, 0))
    confident = Confident(reward_model, rows, Order(6, 6, 0), alpha=0.5, warmup=4.0)
    counts = rows.counts()
    torch.testing.assert_close(gradient(confident, [rows], counts), gradient(plain, [rows], counts))


@pytest.mark.parametrize("tokens", [1, 30, 60])
def test_any_split_gives_the_same_gradient(
    reward_model: RewardModel, toy_prompts: Any, tokens: int
) -> None:
    rows = data(reward_model, toy_prompts)
    method = Confident(reward_model, rows, Order(6, 6, 0), alpha=0.5, warmup=1.0)
    list(method.batches(3))
    whole = gradient(method, [rows], rows.counts())
    parts = gradient(method, rows.split(tokens), rows.counts())
    torch.testing.assert_close(parts, whole, atol=1e-6, rtol=1e-5)
