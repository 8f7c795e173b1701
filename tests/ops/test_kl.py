from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from heed.ops.kl import k1, k2, k3


def test_estimators_by_hand() -> None:
    """NeMo-RL's test_calculate_kl."""
    logprob = torch.full((3,), -1.0)
    reference = torch.tensor([0.0, -15.0, -30.0])
    torch.testing.assert_close(k1(logprob, reference), torch.tensor([-1.0, 14.0, 29.0]))
    torch.testing.assert_close(k2(logprob, reference), torch.tensor([0.5, 98.0, 420.5]))
    torch.testing.assert_close(
        k3(logprob, reference), torch.tensor([math.e - 2, 13.0, 28.0]), atol=1e-4, rtol=0
    )


def test_k3_by_hand() -> None:
    """NeMo-RL: policy 0, -1, -2 against a reference of -1."""
    estimates = k3(torch.tensor([0.0, -1.0, -2.0]), torch.full((3,), -1.0))
    torch.testing.assert_close(estimates, torch.tensor([0.368, 0.0, 0.718]), atol=5e-4, rtol=0)
    assert estimates.mean().item() == pytest.approx(0.362, abs=5e-4)


@pytest.mark.parametrize(
    ("mu", "spread"), [(0.1, (20.0, 1.418, 1.417)), (1.0, (2.0, 1.732, 1.695))]
)
def test_bias_and_spread_on_two_normals(mu: float, spread: tuple[float, float, float]) -> None:
    """Policy N(0, 1), reference N(mu, 1): KL = mu^2 / 2. Expectations by Gauss-Hermite, exact."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    x = torch.from_numpy(nodes)
    probability = torch.from_numpy(weights / weights.sum())

    def mean(values: Tensor) -> float:
        return float((probability * values).sum())

    kl = mu**2 / 2
    relative_bias = {k1: 0.0, k2: mu**2 / 4, k3: 0.0}
    for estimator, relative_spread in zip((k1, k2, k3), spread, strict=True):
        estimate = estimator(-x.square() / 2, -(x - mu).square() / 2)
        assert mean(estimate) == pytest.approx(kl * (1 + relative_bias[estimator]), rel=1e-9)
        deviation = math.sqrt(mean((estimate - mean(estimate)).square()))
        assert deviation / kl == pytest.approx(relative_spread, abs=1e-3)


@settings(deadline=None, max_examples=60)
@given(st.floats(-30, 0), st.floats(-30, 0))
def test_k2_and_k3_are_never_negative(logprob: float, reference: float) -> None:
    policy, other = torch.tensor([logprob]).double(), torch.tensor([reference]).double()
    assert k2(policy, other).item() >= 0
    assert k3(policy, other).item() >= 0
    assert k1(policy, policy).item() == k2(policy, policy).item() == k3(policy, policy).item() == 0


def test_k3_stays_exact_where_policies_nearly_agree() -> None:
    """By a plain exp, r - 1 - log r would be 0 or rounding noise here."""
    near = torch.tensor([-1.0]).double()
    assert k3(near, near + 1e-6).item() == pytest.approx(5e-13, rel=1e-3)


def test_gradients() -> None:
    logprob = -torch.rand(5, dtype=torch.float64, requires_grad=True)
    reference = -torch.rand(5, dtype=torch.float64)
    for estimator in (k1, k2, k3):
        assert torch.autograd.gradcheck(lambda x, f=estimator: f(x, reference), logprob)
