from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from heed.losses.term import Term
from heed.losses.value import clipped_value


def single(value: float, old: float, goal: float, clip: float = 0.2) -> tuple[Term, Term]:
    """The terms of one token whose value moved from `old` to `value`, with the return `goal`."""
    row = [torch.tensor([[number]]) for number in (value, old, goal)]
    loss, fraction = clipped_value(*row, torch.ones(1, 1).bool(), clip=clip, coef=0.1)
    return loss, fraction


@pytest.mark.parametrize(
    ("value", "old", "goal", "want", "bites"),
    [
        (1.1, 1.0, 2.0, 0.9**2 / 2, False),  # within the range
        (1.5, 1.0, 2.0, 0.8**2 / 2, True),  # went far towards the goal: held at 1.2
        (0.5, 1.0, 2.0, 1.5**2 / 2, False),  # went away from it: pays in full
        (1.0, 1.0, 1.0, 0.0, False),
    ],
)
def test_by_hand(value: float, old: float, goal: float, want: float, bites: bool) -> None:
    loss, fraction = single(value, old, goal)
    assert loss.total.item() == pytest.approx(want)
    assert (loss.name, loss.count, loss.weight) == ("value_loss", "tokens", 0.1)
    assert fraction.total.item() == bites
    assert (fraction.name, fraction.count, fraction.weight) == ("value_clip_fraction", "tokens", 0)


def test_a_wide_clip_is_half_the_squared_error() -> None:
    values, old, returns = torch.randn(3, 2, 5)
    target = torch.rand(2, 5) < 0.5
    loss, fraction = clipped_value(values, old, returns, target, clip=1e6, coef=1.0)
    error = (values - returns)[target]
    torch.testing.assert_close(loss.total, error.square().sum() / 2)
    assert fraction.total.item() == 0


def test_what_stands_outside_the_target_never_counts() -> None:
    values = torch.tensor([[1.0, math.nan]], requires_grad=True)
    zero = torch.zeros(1, 2)
    target = torch.tensor([[True, False]])
    loss, _ = clipped_value(values, zero, zero, target, clip=9.0, coef=1.0)
    assert loss.total.item() == 0.5


def test_gradients() -> None:
    draw = torch.Generator().manual_seed(0)
    values, old, returns = torch.randn(3, 2, 4, generator=draw, dtype=torch.float64)
    target = torch.tensor([[0, 1, 1, 0], [1, 1, 1, 1]]).bool()

    def loss(values: Tensor) -> Tensor:
        return clipped_value(values, old, returns, target, clip=0.2, coef=1.0)[0].total

    assert torch.autograd.gradcheck(loss, values.requires_grad_())
