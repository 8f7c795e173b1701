"""A sampler that is not the policy's is found before the first step."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from golden_methods import on_policy

from heed.policies.policy_gradient import PolicyGradient
from heed.recipe import DrawsGate, LogprobsGate, OnPolicy
from heed.sampling.local import LocalSampler
from heed.stages.rollout_checks import own_draws, same_logprobs
from heed.stages.workplace import Workplace

ANY = cast(OnPolicy, None)
"""No settings of the stage are looked at."""


@pytest.fixture
def work() -> Workplace:
    """All that is asked of a workplace here: seeds and a precision."""
    return cast(Workplace, SimpleNamespace(seed=lambda *_: 7, dtype=torch.float32))


@pytest.fixture
def method(tmp_path: Path) -> PolicyGradient:
    made: PolicyGradient = on_policy(tmp_path)
    return made


def sampler(method: PolicyGradient, **more: Any) -> LocalSampler:
    return LocalSampler(method.policy, **{"max_new_tokens": 12, "temperature": 0.9, **more})


def test_its_own_sampler_passes(work: Workplace, method: PolicyGradient) -> None:
    before = [p.clone() for p in method.module.parameters()]
    found = same_logprobs(work, ANY, method, LogprobsGate())
    assert found.statistic < 1e-4
    assert not found.tripped
    drawn = own_draws(work, ANY, method, DrawsGate())
    assert drawn is not None
    assert not drawn.tripped
    for old, new in zip(before, method.module.parameters(), strict=True):
        assert torch.equal(old, new)
        assert new.grad is None


@pytest.mark.parametrize(("temperature", "word"), [(0.5, "sharper"), (2.0, "flatter")])
def test_another_temperature_is_found(
    work: Workplace, method: PolicyGradient, temperature: float, word: str
) -> None:
    with torch.no_grad():
        for parameter in method.policy.model.parameters():
            parameter.mul_(3)  # a fresh model is all but uniform, at any temperature
    method.sampler = sampler(method, temperature=temperature)
    assert same_logprobs(work, ANY, method, LogprobsGate()).tripped
    found = own_draws(work, ANY, method, DrawsGate())
    assert found is not None
    assert found.tripped
    assert word in found.says


def test_a_cut_distribution_is_another_on_purpose(work: Workplace, method: PolicyGradient) -> None:
    method.sampler = sampler(method, top_p=0.5)
    assert own_draws(work, ANY, method, DrawsGate()) is None
    assert not same_logprobs(work, ANY, method, LogprobsGate()).tripped
