"""A method that learns the wrong way round, or is pushed from its reference, does not start."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from golden_methods import METHODS, PREFERENCES, on_policy

from heed.policies.policy_gradient import PolicyGradient
from heed.recipe import LeashGate, OnPolicy, RewardModelling, StepGate, WeightedSum, WrittenReward
from heed.stages.step_checks import _spread, pulls_back, raises_better
from heed.stages.workplace import Workplace
from heed.types import Comparison, Completion, Prompt

STAGE = cast(OnPolicy, SimpleNamespace(reward="reward"))
GRADIENTS = ["ppo", "ppo_shared_base", "rloo", "grpo", "dr_grpo", "gspo", "reinforce"]
CHOSEN = {(pair.prompt.id, pair.chosen) for pair in PREFERENCES}


@pytest.fixture
def work() -> Workplace:
    """All that is asked of a workplace here: seeds, and the comparisons of the reward."""
    stage = RewardModelling(name="reward")
    return cast(
        Workplace,
        SimpleNamespace(
            seed=lambda *_: 7,
            recipe=SimpleNamespace(stage=lambda _: stage),
            comparisons=lambda *_: PREFERENCES,
        ),
    )


def likes_chosen(completions: Sequence[Completion]) -> list[float]:
    return [float((item.prompt.id, item.text) in CHOSEN) for item in completions]


def likes_rejected(completions: Sequence[Completion]) -> list[float]:
    return [-score for score in likes_chosen(completions)]


def made(name: str, folder: Path) -> PolicyGradient:
    method: PolicyGradient = METHODS[name][0](folder)
    return method


@pytest.mark.parametrize("name", GRADIENTS)
def test_the_reward_has_its_sign(work: Workplace, tmp_path: Path, name: str) -> None:
    method = made(name, tmp_path)
    for reward, wrong in ((likes_chosen, False), (likes_rejected, True)):
        method.reward = reward
        found = raises_better(work, STAGE, method, StepGate())
        assert found is not None
        assert found.tripped == wrong
        assert abs(found.statistic) > 3


@pytest.mark.parametrize("name", GRADIENTS)
def test_the_leash_has_its_sign(work: Workplace, tmp_path: Path, name: str) -> None:
    method = made(name, tmp_path)
    for sign, wrong in ((1, False), (-1, True)):
        method.kl.coef = sign * 0.1
        found = pulls_back(work, STAGE, method, LeashGate())
        assert found is not None
        assert found.tripped == wrong
        assert abs(found.statistic) > 3


def test_all_is_as_it_was(work: Workplace, tmp_path: Path) -> None:
    method: PolicyGradient = on_policy(tmp_path)
    method.module.train()
    before = [weight.clone() for weight in method.module.parameters()]
    state = torch.get_rng_state()
    drawn = method.sampler.sample(method.prompts[:4], seed=3)
    raises_better(work, STAGE, method, StepGate())
    pulls_back(work, STAGE, method, LeashGate())
    for old, new in zip(before, method.module.parameters(), strict=True):
        assert torch.equal(old, new)
        assert new.grad is None
        assert new.requires_grad
    assert torch.equal(state, torch.get_rng_state())
    assert all(part.training for part in method.module.modules())
    assert method.sampler.sample(method.prompts[:4], seed=3) == drawn
    assert method.kl.coef == 0.1


def test_weights_come_back_when_something_breaks(work: Workplace, tmp_path: Path) -> None:
    method: PolicyGradient = on_policy(tmp_path)
    before = [weight.clone() for weight in method.module.parameters()]

    class Breaks:
        asked = 0

        def sample(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("out of memory")

    own = method.sampler

    class Once(Breaks):
        def sample(self, *given: Any, **more: Any) -> Any:
            self.asked += 1
            return own.sample(*given, **more) if self.asked == 1 else super().sample()

    method.sampler = Once()
    with pytest.raises(RuntimeError):
        pulls_back(work, STAGE, method, LeashGate())
    assert all(torch.equal(a, b) for a, b in zip(before, method.module.parameters(), strict=True))


def test_where_there_is_nothing_to_ask(work: Workplace, tmp_path: Path) -> None:
    method: PolicyGradient = on_policy(tmp_path)
    method.kl.coef = 0.0
    assert pulls_back(work, STAGE, method, LeashGate()) is None
    written = WrittenReward(comparisons="collect")
    cast(Any, work).recipe = SimpleNamespace(stage=lambda _: written)
    assert raises_better(work, STAGE, method, StepGate()) is None


def test_a_sum_of_rewards_is_asked_by_what_its_parts_know(work: Workplace, tmp_path: Path) -> None:
    method: PolicyGradient = on_policy(tmp_path)
    method.reward = likes_rejected
    inner = cast(Any, work).recipe.stage("reward")
    stages = {"reward": inner, "sum": WeightedSum(weights={"reward": 1.0})}
    cast(Any, work).recipe = SimpleNamespace(stage=stages.__getitem__)
    found = raises_better(work, cast(OnPolicy, SimpleNamespace(reward="sum")), method, StepGate())
    assert found is not None
    assert found.tripped


def test_comparisons_are_of_as_many_prompts_as_there_are() -> None:
    counts = {"a": 1, "b": 2, "c": 5}
    pairs = [
        Comparison(Prompt.of(name), chosen=f"{name}{at}", rejected="")
        for name, count in counts.items()
        for at in range(count)
    ]
    assert [pair.chosen for pair in _spread(pairs, 5)] == ["a0", "b0", "c0", "b1", "c1"]
    assert [pair.chosen for pair in _spread(pairs, 2)] == ["a0", "b0"]
    assert len(_spread(pairs, 100)) == len(pairs)
    assert _spread([], 5) == []
