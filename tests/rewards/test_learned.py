"""A reward model as a reward function, and how it is judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from heed.evaluation.accuracy import correctness
from heed.models.language_model import save_language_model
from heed.models.reward_model import RewardModel, new_reward_model
from heed.models.rows import fitted
from heed.ops.batch import Sequences
from heed.rewards.learned import LearnedReward
from heed.types import Comparison, Completion

TEXTS = ["yes", "no no red two", "", "blue", "maybe maybe yes yes no one"]


@pytest.fixture
def reward_model(toy_lm: Any, tmp_path: Path) -> RewardModel:
    save_language_model(toy_lm(), tmp_path / "policy")
    return new_reward_model(tmp_path / "policy", device="cpu", dtype="float32", seed=1)


@pytest.fixture
def completions(toy_prompts: Any) -> list[Completion]:
    return [Completion(toy_prompts[i], text) for i, text in enumerate(TEXTS)]


@pytest.mark.parametrize("micro_tokens", [1, 17, 10**6])
def test_scores_are_the_models_own(
    reward_model: RewardModel, completions: Any, micro_tokens: int
) -> None:
    reward_model.calibrate(0.3, 2.0)
    chat = reward_model.chat
    rows = [Sequences.of([fitted(chat, c.prompt, c.text, 64)], chat.pad_id) for c in completions]
    expected = [reward_model.scores(row).item() for row in rows]
    scores = LearnedReward(reward_model, context=64, micro_tokens=micro_tokens)(completions)
    assert scores == pytest.approx(expected, abs=1e-5)
    assert len(set(scores)) == len(TEXTS)
    assert all(isinstance(score, float) for score in scores)


def test_a_long_answer_is_cut_to_the_context(reward_model: RewardModel, toy_prompts: Any) -> None:
    score = LearnedReward(reward_model, context=12)
    long, longer = (Completion(toy_prompts[0], "yes no " * times) for times in (20, 30))
    assert score([long]) == score([longer])


def test_correctness_counts_a_tie_half(toy_prompts: Any) -> None:
    def length(completions: Any) -> list[float]:
        return [float(len(item.text.split())) for item in completions]

    pairs = [("one two", "one"), ("one", "one two"), ("red", "blue"), ("", "")]
    found = [Comparison(toy_prompts[0], chosen, rejected) for chosen, rejected in pairs]
    assert correctness(length, found) == [1.0, 0.0, 0.5, 0.5]


def test_no_gradient_is_kept(reward_model: RewardModel, completions: Any) -> None:
    LearnedReward(reward_model, context=64)(completions)
    assert all(weight.grad is None for weight in reward_model.model.parameters())
    assert torch.is_grad_enabled()
