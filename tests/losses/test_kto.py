from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from heed.losses.kto import kl_baseline, kto


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def loss(log_ratio: Tensor, baseline: float, good: list[bool], **coefs: float) -> Tensor:
    settings = {"beta": 0.5, "desirable_coef": 1.0, "undesirable_coef": 1.0, **coefs}
    one = torch.ones_like(log_ratio)
    return kto(log_ratio, baseline * one, torch.tensor(good), one, **settings)[0].total


def test_by_hand() -> None:
    """Beta .5, z0 = 1: a gain of 1 (log-ratio 3) loses 1 - sigmoid(1) = .268941, of -1 .731059."""
    assert loss(numbers(3), 1, [True]).item() == pytest.approx(0.268941, abs=1e-6)
    assert loss(numbers(3), 1, [False]).item() == pytest.approx(0.731059, abs=1e-6)
    assert loss(numbers(-1), 1, [True]).item() == pytest.approx(0.731059, abs=1e-6)
    both = loss(numbers(3, 3), 1, [True, False], desirable_coef=1.25, undesirable_coef=0.5)
    assert both.item() == pytest.approx(1.25 * 0.268941 + 0.5 * 0.731059, abs=1e-6)


def test_a_policy_that_is_the_reference_loses_half_of_lambda() -> None:
    zero = numbers(0, 0, 0)
    assert kl_baseline(zero, zero + 1) == 0
    total = loss(zero, 0, [True, False, False], desirable_coef=1.2, undesirable_coef=0.8)
    assert total.item() == pytest.approx((1.2 + 0.8 + 0.8) / 2, abs=1e-12)


def test_the_baseline_is_a_weighted_mean_and_never_negative() -> None:
    log_ratio, weight = numbers(4, -1, 0.5), numbers(1, 2, 2)
    assert kl_baseline(log_ratio, weight).item() == pytest.approx((4 - 2 + 1) / 5)
    assert kl_baseline(-log_ratio, weight) == 0


def test_drift_that_all_answers_share_is_nothing() -> None:
    here = loss(numbers(1, -2), 0.5, [True, False])
    assert loss(numbers(8, 5), 7.5, [True, False]).item() == pytest.approx(here.item())


def test_it_moves_answers_to_their_side() -> None:
    log_ratio = numbers(0.3, 0.3).requires_grad_()
    loss(log_ratio, 0.1, [True, False]).backward()
    assert log_ratio.grad is not None
    # d/dr (1 - sigmoid(+-z)) = -+ beta sigmoid(z) sigmoid(-z), z = .5 x .2
    want = 0.5 * math.exp(-0.1) / (1 + math.exp(-0.1)) ** 2
    assert log_ratio.grad.tolist() == pytest.approx([-want, want])


def test_terms() -> None:
    terms = kto(
        numbers(2, 1, 1, -3).requires_grad_(), numbers(1, 1, 1, 1),
        torch.tensor([True, True, False, False]), numbers(1, 2, 1, 0.5),
        beta=0.5, desirable_coef=2.0, undesirable_coef=1.0,
    )  # fmt: skip
    sigmoid = torch.sigmoid(numbers(-0.5, 0, 0, -2))
    kto_total = (sigmoid * numbers(2, 4, 1, 0.5)).sum().item()
    assert [(t.name, t.total.item(), t.count, t.weight) for t in terms] == [
        ("kto", pytest.approx(kto_total), "weight", 1),
        ("accuracy", 1 + 0.5 + 0.5 + 1, "rows", 0),
        ("baseline", 4, "rows", 0),
        ("desirable_reward", 1.5, "desirable", 0),
        ("undesirable_reward", -1, "undesirable", 0),
    ]
    assert [term.total.requires_grad for term in terms] == [True, False, False, False, False]


def test_far_answers_stay_finite() -> None:
    far = torch.tensor([900.0, -900.0], requires_grad=True)
    total = loss(far, 0, [False, True])
    total.backward()
    assert total.item() == 2
    assert far.grad is not None
    assert far.grad.isfinite().all()


def test_gradients() -> None:
    draw = torch.Generator().manual_seed(0)
    log_ratio = torch.randn(6, generator=draw, dtype=torch.float64).requires_grad_()
    good = [True, False, True, True, False, False]
    assert torch.autograd.gradcheck(lambda x: loss(x, 0.3, good, desirable_coef=1.3), log_ratio)
