from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from heed.ops.masked import masked_mean, masked_sum, masked_var, whiten

X = torch.tensor([[1.0, 2.0, 50.0], [3.0, 6.0, -50.0]])
MASK = torch.tensor([[True, True, False], [True, True, False]])
NOTHING = torch.zeros_like(MASK)


@st.composite
def masked_numbers(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """A float64 tensor and a mask with at least one true entry."""
    size = draw(st.integers(1, 12))
    numbers = st.floats(-1e3, 1e3, allow_nan=False)
    x = draw(st.lists(numbers, min_size=size, max_size=size))
    mask = draw(st.lists(st.booleans(), min_size=size, max_size=size).filter(any))
    return torch.tensor(x, dtype=torch.float64), torch.tensor(mask)


def test_by_hand() -> None:
    assert masked_sum(X, MASK).item() == 12
    assert masked_mean(X, MASK).item() == 3
    assert masked_var(X, MASK).item() == 3.5


def test_whiten_by_hand() -> None:
    scale = 1 / math.sqrt(3.5)
    want = torch.tensor([[-2.0, -1.0, 0.0], [0.0, 3.0, 0.0]]) * scale
    torch.testing.assert_close(whiten(X, MASK), want)


def test_whiten_keeps_the_mean_only_when_asked_to() -> None:
    kept = whiten(X, MASK, shift_mean=False)
    assert masked_mean(whiten(X, MASK), MASK).item() == pytest.approx(0, abs=1e-6)
    assert masked_mean(kept, MASK).item() == pytest.approx(3)
    torch.testing.assert_close(kept[MASK], whiten(X, MASK)[MASK] + 3)
    assert kept[~MASK].eq(0).all()


@pytest.mark.parametrize("outside", [math.nan, math.inf, -math.inf])
def test_what_stands_outside_the_mask_never_counts(outside: float) -> None:
    x = X.masked_fill(~MASK, outside).requires_grad_()
    for statistic in (masked_sum, masked_mean, masked_var):
        assert statistic(x, MASK).item() == statistic(X, MASK).item()
    torch.testing.assert_close(whiten(x, MASK), whiten(X, MASK))
    (gradient,) = torch.autograd.grad(masked_sum(x, MASK), x)
    torch.testing.assert_close(gradient, MASK.float())


def test_an_empty_mask_gives_zero() -> None:
    assert masked_sum(X, NOTHING).item() == 0
    assert masked_mean(X, NOTHING).item() == 0
    assert masked_var(X, NOTHING).item() == 0
    for shift_mean in (True, False):
        assert whiten(X, NOTHING, shift_mean=shift_mean).eq(0).all()


@pytest.mark.parametrize("count", [2, 3, 7, 100])
@pytest.mark.parametrize("reward", [0.1, -1.7, 1e6, 0.0])
def test_equal_entries_whiten_to_exactly_zero(reward: float, count: int) -> None:
    rewards = torch.full((count,), reward)
    everywhere = torch.ones(count, dtype=torch.bool)
    assert whiten(rewards, everywhere, eps=1e-20).eq(0).all()
    assert masked_var(rewards, everywhere).item() == 0


@settings(deadline=None, max_examples=60)
@given(masked_numbers())
def test_statistics_are_those_of_the_chosen_entries(case: tuple[Tensor, Tensor]) -> None:
    x, mask = case
    chosen = x[mask]
    torch.testing.assert_close(masked_sum(x, mask), chosen.sum())
    torch.testing.assert_close(masked_mean(x, mask), chosen.mean())
    torch.testing.assert_close(masked_var(x, mask), chosen.var(correction=0), rtol=1e-7, atol=1e-7)


@settings(deadline=None, max_examples=60)
@given(masked_numbers())
def test_whitened_entries_have_mean_zero_and_at_most_unit_variance(
    case: tuple[Tensor, Tensor],
) -> None:
    x, mask = case
    white = whiten(x, mask)
    assert masked_mean(white, mask).item() == pytest.approx(0, abs=1e-6)
    variance = masked_var(x, mask).item()
    assert masked_var(white, mask).item() == pytest.approx(variance / (variance + 1e-8), abs=1e-6)
    assert white[~mask].eq(0).all()


def test_gradients() -> None:
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    for function in (masked_sum, masked_mean, masked_var, whiten):
        assert torch.autograd.gradcheck(lambda x, f=function: f(x, MASK), x)
