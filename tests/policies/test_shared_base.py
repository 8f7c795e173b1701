"""PPO whose four roles share one base does what it does with a base for each.

Apart, the policy, the reference, the value model and the reward model are four models, each loaded
for itself, with the very same adapters; the reward model's is merged, as it is saved.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from heed.losses.policy import ppo_clip
from heed.models.adapters import OWN, adapter_weights
from heed.models.checkpoints import load_checkpoint
from heed.models.heads import VALUE, ValueModel
from heed.models.language_model import (
    LanguageModel,
    attach_lora,
    load_language_model,
    save_language_model,
)
from heed.models.modes import seeded
from heed.models.reference import Reference
from heed.models.reward_model import (
    RewardModel,
    load_reward_model,
    new_reward_model,
    on_shared_base,
    save_reward_model,
    with_adapter,
)
from heed.policies.kl_control import KlController
from heed.policies.policy_gradient import PolicyGradient, Surrogate
from heed.policies.ppo import Critic
from heed.rewards.learned import LearnedReward
from heed.sampling.local import LocalSampler
from heed.trainer import Monitor, Trainer

CPU = {"device": "cpu", "dtype": "float32"}
REWARD = "reward/model"
RANK = 2


@pytest.fixture
def folders(toy_lm: Any, tmp_path: Path) -> Path:
    """A policy and a reward model that is an adapter on it, as stages leave them."""
    save_language_model(toy_lm(), tmp_path / "policy")
    fresh = new_reward_model(tmp_path / "policy", seed=1, **CPU)
    reward = with_adapter(fresh, rank=RANK, alpha=4.0, seed=1)
    with seeded(2), torch.no_grad():
        for weight in adapter_weights(reward.model, OWN):
            weight.add_(torch.randn_like(weight), alpha=0.3)
    reward.calibrate(0.2, 1.3)
    save_reward_model(reward, tmp_path / "reward")
    return tmp_path


def adapted(folders: Path) -> LanguageModel:
    lm = load_language_model(folders / "policy", **CPU)
    return attach_lora(lm, rank=RANK, alpha=4.0, seed=3)


def together(folders: Path) -> tuple[LanguageModel, Reference, ValueModel, RewardModel]:
    policy = adapted(folders)
    return (
        policy,
        Reference(policy),
        ValueModel.on_shared_base(policy, folders / "reward"),
        on_shared_base(policy, folders / "reward", REWARD),
    )


def apart(folders: Path) -> tuple[LanguageModel, Reference, ValueModel, RewardModel]:
    value = ValueModel.on_shared_base(adapted(folders), folders / "reward")
    for weight in adapter_weights(value, OWN):
        weight.requires_grad_(False)
    return (
        adapted(folders),
        Reference(load_language_model(folders / "policy", **CPU)),
        value,
        load_reward_model(folders / "reward", **CPU),
    )


def method(folders: Path, roles: Any, prompts: Any) -> PolicyGradient:
    policy, reference, value, reward = roles(folders)
    return PolicyGradient(
        policy,
        Critic(
            value, gamma=1.0, lam=0.95, clip=0.2, coef=0.1, whiten_rewards=False, micro_tokens=60
        ),
        sampler=LocalSampler(policy, max_new_tokens=6),
        prompts=prompts,
        reward=LearnedReward(reward, context=64),
        reference=reference,
        kl=KlController(0.1),
        surrogate=Surrogate(
            rollouts=12,
            epochs=2,
            minibatches=2,
            policy_loss=lambda *all_: ppo_clip(*all_, clip_low=0.2, clip_high=0.2),
            entropy_coef=0.01,
            missing_eos=-1.0,
            temperature=1.0,
            micro_tokens=60,
        ),
        seed=5,
        watch={},
    )


def train(made: PolicyGradient, run: Any, iterations: int) -> list[dict[str, Any]]:
    Trainer(
        method=made,
        settings=run.stage,
        run=run,
        iterations=iterations,
        seed=0,
        monitor=Monitor("nothing"),
        lr_scales={"baseline": 3.0},
    ).train()
    rows = map(json.loads, (run.run / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in row.items() if name != "stage"} for row in rows]


def test_scores_values_and_log_probs_are_those_of_four_models(
    folders: Path, toy_prompts: Any
) -> None:
    one, four = together(folders), apart(folders)
    completions = LocalSampler(one[0], max_new_tokens=6).sample(toy_prompts, n=2, seed=1)
    assert completions == LocalSampler(four[0], max_new_tokens=6).sample(toy_prompts, n=2, seed=1)
    made = method(folders, together, toy_prompts)
    (*_, batch) = made.batches(0)
    for value in (one[2], four[2]):
        nn.init.ones_(value.head.weight)
    with torch.no_grad():
        close = {"atol": 1e-5, "rtol": 1e-5}
        assert torch.equal(one[1].logprobs(batch), four[1].logprobs(batch))
        assert torch.equal(one[2](batch), four[2](batch))
        assert bool(one[2](batch).any())
        torch.testing.assert_close(one[3].scores(batch), four[3].scores(batch), **close)


@pytest.mark.slow
def test_twenty_steps_give_the_metrics_of_four_models(
    folders: Path, toy_prompts: Any, place: Any
) -> None:
    rows = [
        train(
            method(folders, roles, toy_prompts), place(roles.__name__, optim={"lr": 3e-3}), 20
        )
        for roles in (together, apart)
    ]  # fmt: skip
    assert len(rows[0]) == 20
    for one, four in zip(*rows, strict=True):
        # Rounding grows over steps; explained variance, a ratio of variances, shows it first.
        assert one == pytest.approx(four, rel=1e-4, abs=5e-5)
    assert abs(rows[0][-1]["kl"]) > 0.05  # it went somewhere
    assert rows[0][-1]["value_loss"] != rows[0][0]["value_loss"]


def test_what_trains_is_two_adapters_and_a_head_and_the_rest_stays(
    folders: Path, toy_prompts: Any, place: Any
) -> None:
    made = method(folders, together, toy_prompts)
    model = made.policy.model
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    score = made.reward.model.head.weight.clone()
    run = place(optim={"lr": 1e-3})
    train(made, run, 2)
    moved = {
        name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])
    }
    assert moved == {name for name in before if f".{OWN}." in name or f".{VALUE}." in name}
    assert torch.equal(made.reward.model.head.weight, score)
    (checkpoint,) = (run.directory / "checkpoints").glob("last-*")
    tensors, _ = load_checkpoint(checkpoint)
    # Two adapters and a head with AdamW's two averages, and its count of steps for each of their
    # two factors of seven matrices, and for the head's weight and bias.
    numbers = 3 * (2 * 544 + 17) + 2 * 14 + 2
    assert sum(tensor.numel() for tensor in tensors.values()) == numbers


def test_the_value_model_has_its_learning_rate(folders: Path, toy_prompts: Any, place: Any) -> None:
    made = method(folders, together, toy_prompts)
    run = place(optim={"lr": 1e-3})
    trainer = Trainer(
        method=made, settings=run.stage, run=run, iterations=1, seed=0, monitor=None,
        lr_scales={"baseline": 3.0},
    )  # fmt: skip
    fast = [group for group in trainer.optimizer.param_groups if group["scale"] == 3.0]
    weights = {id(weight) for group in fast for weight in group["params"]}
    value = made.baseline.module
    assert isinstance(value, ValueModel)
    assert weights == {
        id(weight)
        for weight in [*adapter_weights(made.policy.model, VALUE), *value.head.parameters()]
    }


def test_the_bytes_of_one_base(folders: Path) -> None:
    """Width 16, inner 32, 16 words, one layer:

    base      embeddings 256 + head 256 + attention 4 x 256 + MLP 3 x 512 + norms 3 x 16 = 3120
    adapter   rank 2 x (in + out): attention 4 x 64 + MLP 3 x 96 = 544
    heads     value 16 + 1, reward 16 = 33
    """
    policy, reference, value, reward = together(folders)
    modules = [policy.model, reference.lm.model, value, reward.model]
    assert held(modules) == 4 * (3120 + 3 * 544 + 33) == 19140
    policy, reference, value, reward = apart(folders)
    modules = [policy.model, reference.lm.model, value, reward.model]
    # Policy, reference, value: a base each; reward: one without a language model's head.
    adapters = 544 + 2 * 544  # the policy's; the value's, and the one it stands beside
    assert held(modules) == 4 * (3 * 3120 + (3120 - 256) + adapters + 33) == 55556


def held(modules: list[Any]) -> int:
    """Bytes of all weights, those that several modules share counted once."""
    weights = {id(weight): weight for module in modules for weight in module.parameters()}
    return sum(weight.numel() * weight.element_size() for weight in weights.values())
