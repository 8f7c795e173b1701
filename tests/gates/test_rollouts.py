from __future__ import annotations

import math

import numpy as np
import pytest

from heed.gates.rollouts import draws, logprobs


def test_logprobs_by_hand() -> None:
    found = logprobs([-1.0, -2.0, -3.0], [-1.0, -2.3, -3.0], tolerance=0.11)
    assert found.statistic == pytest.approx(0.1)
    assert not found.tripped
    assert logprobs([-1.0, -2.0, -3.0], [-1.0, -2.4, -3.0], tolerance=0.11).tripped
    assert logprobs([-1.0], [math.nan], tolerance=0.11).tripped


def test_draws_by_hand() -> None:
    # Excesses 1, 2, 3, 2 of four prompts: mean 2, error sqrt(4/3 * 2) / 4.
    found = draws([2.0, 3.0, 4.0, 3.0], [1.0] * 4, range(4), false_alarms=0.05)
    assert found is not None
    assert found.statistic == pytest.approx(2 / (math.sqrt(4 / 3 * 2) / 4))
    assert found.threshold == pytest.approx(3.182, abs=1e-3)
    assert found.tripped
    assert "+2.000 nats" in found.says
    assert "flatter" in found.says


def test_no_evidence_and_no_noise() -> None:
    assert draws([1.0], [1.0], ["a"], false_alarms=0.01) is None
    assert draws([1.0, 2.0], [1.0, 1.0], ["a", "a"], false_alarms=0.01) is None
    same = draws([1.0, 1.0], [1.0, 1.0], ["a", "b"], false_alarms=0.01)
    assert same is not None
    assert (same.statistic, same.tripped) == (0.0, False)


def drawn(temperature: float, rng: np.random.Generator, n: int = 256, length: int = 10) -> bool:
    """Whether it trips on answers drawn at a temperature, where training knows that of 1."""
    logits = rng.normal(size=(n, length, 20)) * 2
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    entropy = -(p * np.log(p)).sum((-1, -2))
    q = np.exp(logits / temperature)
    cut = (q / q.sum(-1, keepdims=True)).cumsum(-1)
    tokens = (rng.random((n, length, 1)) > cut).sum(-1, keepdims=True).clip(max=19)
    surprisal = -np.log(np.take_along_axis(p, tokens, -1)).sum((-1, -2))
    found = draws(surprisal.tolist(), entropy.tolist(), range(n), false_alarms=0.02)
    return found is not None and found.tripped


@pytest.mark.parametrize(
    ("temperature", "least", "most"), [(1.0, 0, 0.045), (0.8, 0.95, 1), (1.25, 0.95, 1)]
)
def test_power_and_false_alarms(temperature: float, least: float, most: float) -> None:
    rng = np.random.default_rng(0)
    trips = sum(drawn(temperature, rng) for _ in range(300)) / 300
    assert least <= trips <= most
