from __future__ import annotations

import math

import torch

from heed.losses.sft import cross_entropy

LOGPROBS = torch.tensor([[-1.0, -2.0, -4.0], [-8.0, -16.0, math.nan]])
TARGET = torch.tensor([[False, True, True], [True, True, False]])


def test_by_hand() -> None:
    (term,) = cross_entropy(LOGPROBS, TARGET)
    assert (term.name, term.count, term.weight) == ("nll", "tokens", 1)
    assert term.total.item() == 2 + 4 + 8 + 16


def test_row_weights() -> None:
    (term,) = cross_entropy(LOGPROBS, TARGET, torch.tensor([2.0, 0.5]))
    assert term.total.item() == 2 * (2 + 4) + 0.5 * (8 + 16)


def test_gradients() -> None:
    logprobs = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: cross_entropy(x, TARGET)[0].total, logprobs)
    assert torch.autograd.gradcheck(lambda x: cross_entropy(x, TARGET, weight)[0].total, logprobs)
    (gradient,) = torch.autograd.grad(cross_entropy(logprobs, TARGET)[0].total, logprobs)
    torch.testing.assert_close(gradient, -TARGET.double())
