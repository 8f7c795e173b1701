from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from heed.losses.steps import step_correctness

SCORES = torch.tensor([[9.0, 0.0, 1.0], [-2.0, 9.0, 9.0]])
RIGHT = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
ENDS = torch.tensor([[False, True, True], [True, False, False]])


def test_by_hand() -> None:
    loss, accuracy = step_correctness(SCORES, RIGHT, ENDS)
    expected = math.log(2) + math.log(1 + math.e) + math.log(1 + math.exp(-2))
    assert loss.total.item() == pytest.approx(expected)
    assert accuracy.total.item() == 0.5 + 0.0 + 1.0
    assert (loss.name, loss.count, loss.weight) == ("step_correctness", "steps", 1.0)
    assert (accuracy.count, accuracy.weight) == ("steps", 0.0)


def test_it_is_torchs_own_cross_entropy() -> None:
    torch.manual_seed(0)
    scores, right = torch.randn(4, 7), torch.randint(2, (4, 7)).float()
    ends = torch.rand(4, 7) < 0.5
    expected = binary_cross_entropy_with_logits(scores[ends], right[ends], reduction="sum")
    torch.testing.assert_close(step_correctness(scores, right, ends)[0].total, expected)


def test_what_is_no_end_may_be_anything() -> None:
    scores = torch.where(ENDS, SCORES, torch.nan)
    assert step_correctness(scores, RIGHT, ENDS)[0].total.isfinite()


def test_gradients() -> None:
    scores = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda scores: step_correctness(scores, RIGHT.double(), ENDS)[0].total, (scores,)
    )
