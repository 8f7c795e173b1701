from __future__ import annotations

import math
from itertools import permutations

import pytest
import torch
from torch import Tensor

from heed.losses.ranking import plackett_luce
from heed.losses.reward import bradley_terry
from heed.losses.term import Term

LOG = [0.0, math.log(2), math.log(3)]
"""Scores whose exponentials are 1, 2 and 3."""


def terms(scores: list[float], ranks: list[int], weight: float = 1.0) -> dict[str, Term]:
    found = plackett_luce(
        torch.tensor([scores], dtype=torch.float64),
        torch.tensor([ranks]),
        torch.tensor([weight], dtype=torch.float64),
    )
    return {term.name: term for term in found}


def loss(scores: list[float], ranks: list[int], weight: float = 1.0) -> float:
    return terms(scores, ranks, weight)["plackett_luce"].total.item()


@pytest.mark.parametrize(
    ("ranks", "want"),
    [
        ([3, 1, 2], 4.0),  # 2 of 1 + 2 + 3, then 3 of 1 + 3
        ([1, 2, 3], 6 * 5 / 2),  # 1 of 6, then 2 of 5
        ([3, 2, 1], 2 * 3 / 2),  # 3 of 6, then 2 of 3
        ([1, 2, 2], 6.0),  # 1 of 6; the others are not told apart
        ([1, 1, 2], 4 * 5 / 2),  # 1 of 1 + 3, and 2 of 2 + 3: not against each other
        ([1, 1, 1], 1.0),  # nothing is said
        ([0, 2, 1], 5 / 3),  # the first is no answer: 3 of 2 + 3
    ],
)
def test_three_answers_by_hand(ranks: list[int], want: float) -> None:
    assert loss(LOG, ranks) == pytest.approx(math.log(want))
    assert loss(LOG, ranks, 2.5) == pytest.approx(2.5 * math.log(want))


def test_the_orders_of_three_share_all_chance() -> None:
    chances = [math.exp(-loss([0.3, -1.2, 0.9], list(order))) for order in permutations([1, 2, 3])]
    assert sum(chances) == pytest.approx(1.0)


def test_of_two_answers_it_is_bradley_terry() -> None:
    torch.manual_seed(0)
    chosen, rejected, weight = torch.randn(3, 9, dtype=torch.float64)
    expected = bradley_terry(chosen, rejected, torch.zeros(9), weight)
    for first, second, ranks in ((chosen, rejected, [1, 2]), (rejected, chosen, [2, 1])):
        found = plackett_luce(torch.stack([first, second], 1), torch.tensor([ranks] * 9), weight)
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.total.item() == pytest.approx(theirs.total.item())
            assert (ours.count, ours.weight) == (theirs.count, theirs.weight)


def test_only_differences_count() -> None:
    assert loss([1.0, 2.0, 5.0], [2, 3, 1]) == pytest.approx(loss([-8.0, -7.0, -4.0], [2, 3, 1]))


def test_a_hopeless_ranking_stays_finite() -> None:
    assert loss([-500.0, 500.0], [1, 2]) == pytest.approx(1000.0)


@pytest.mark.parametrize(
    ("ranks", "accuracy", "gap"),
    [([1, 2, 3], 0.0, -4 / 3), ([3, 2, 1], 1.0, 4 / 3), ([1, 1, 2], 0.0, -1.5),
     ([1, 1, 1], 0.5, 0.0), ([2, 1, 0], 1.0, 1.0)],
)  # fmt: skip
def test_measurements(ranks: list[int], accuracy: float, gap: float) -> None:
    found = terms([0.0, 1.0, 2.0], ranks)
    assert found["accuracy"].total.item() == pytest.approx(accuracy)
    assert found["gap"].total.item() == pytest.approx(gap)
    assert not any(found[name].total.requires_grad for name in ("accuracy", "gap"))


def test_equal_scores_of_unlike_answers_are_half_right() -> None:
    assert terms([1.0, 1.0], [1, 2])["accuracy"].total.item() == 0.5


def test_gradients() -> None:
    scores = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(4, dtype=torch.float64, requires_grad=True)
    ranks = torch.tensor([[1, 2, 3], [2, 1, 2], [1, 0, 2], [1, 1, 1]])

    def total(scores: Tensor, weight: Tensor) -> Tensor:
        return plackett_luce(scores, ranks, weight)[0].total

    assert torch.autograd.gradcheck(total, (scores, weight))


def test_an_absent_answer_gets_no_gradient() -> None:
    scores = torch.tensor([[0.0, 1.0, 9.0]], requires_grad=True)
    plackett_luce(scores, torch.tensor([[1, 2, 0]]), torch.ones(1))[0].total.backward()
    assert scores.grad is not None
    assert scores.grad[0, 2] == 0
    assert scores.grad[0, 0] == -scores.grad[0, 1] != 0
