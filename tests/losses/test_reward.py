from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from heed.losses.reward import bradley_terry, centring


def loss(chosen: float, rejected: float, margin: float = 0.0, weight: float = 1.0) -> float:
    row = [
        torch.tensor([number], dtype=torch.float64) for number in (chosen, rejected, margin, weight)
    ]
    return bradley_terry(*row)[0].total.item()


@pytest.mark.parametrize(("gap", "want"), [(0.0, math.log(2)), (1.0, 0.313262), (2.0, 0.126928)])
def test_by_hand(gap: float, want: float) -> None:
    assert loss(3 + gap, 3) == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize("margin", [1, 2 / 3, 1 / 3, 0, 3, 2])
def test_llama_2_margins(margin: float) -> None:
    assert loss(2, 0.5, margin) == pytest.approx(math.log(1 + math.exp(-(1.5 - margin))))
    assert loss(2, 2 - margin, margin) == pytest.approx(math.log(2))


def test_weights_multiply_and_are_what_the_loss_counts() -> None:
    chosen, rejected = torch.tensor([1.0, 0.0]), torch.zeros(2)
    terms = bradley_terry(chosen, rejected, torch.zeros(2), torch.tensor([2.0, 0.5]))
    assert terms[0].total.item() == pytest.approx(2 * loss(1, 0) + 0.5 * loss(0, 0))
    assert (terms[0].name, terms[0].count, terms[0].weight) == ("bradley_terry", "weight", 1)


def test_measurements() -> None:
    chosen = torch.tensor([1.0, 2.0, 5.0, 0.0], requires_grad=True)
    rejected = torch.tensor([0.0, 2.0, 7.0, -1.0])
    terms = bradley_terry(chosen, rejected, torch.full((4,), 9.0), torch.zeros(4))
    seen = {term.name: term for term in terms[1:]}
    assert {name: term.total.item() for name, term in seen.items()} == {"accuracy": 2.5, "gap": 0}
    for term in seen.values():
        assert (term.count, term.weight, term.total.requires_grad) == ("rows", 0, False)


def test_a_hopeless_pair_stays_finite() -> None:
    assert loss(-500, 500) == pytest.approx(1000)
    assert loss(500, -500) == pytest.approx(0)


numbers = st.floats(-20, 20)


@settings(deadline=None, max_examples=60)
@given(numbers, numbers, st.floats(0, 3), numbers)
def test_only_the_difference_counts_and_a_margin_costs(
    chosen: float, rejected: float, margin: float, shift: float
) -> None:
    here = loss(chosen, rejected, margin)
    assert here == pytest.approx(loss(chosen + shift, rejected + shift, margin), abs=1e-9)
    assert here >= loss(chosen, rejected) > 0
    assert here > loss(chosen + 1, rejected, margin)


def test_gradients() -> None:
    def rows() -> Tensor:
        return torch.randn(5, dtype=torch.float64, requires_grad=True)

    chosen, rejected, margin, weight = rows(), rows(), rows(), rows()
    assert torch.autograd.gradcheck(
        lambda *tensors: bradley_terry(*tensors)[0].total, (chosen, rejected, margin, weight)
    )


def test_centring_by_hand() -> None:
    chosen, rejected, weight = torch.tensor([[1.0, -2.0], [3.0, 0.5], [1.0, 2.0]])
    term = centring(chosen, rejected, weight, 0.01)
    assert term.total.item() == pytest.approx(4.0**2 + 2 * 1.5**2)
    assert (term.name, term.count, term.weight) == ("centring", "weight", 0.01)


def test_scores_on_either_side_of_0_are_centred() -> None:
    gap = torch.tensor([0.5, 7.0])
    assert centring(gap, -gap, torch.ones(2), 1.0).total.item() == 0.0


def test_gradients_of_centring() -> None:
    rows = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda rows: centring(*rows, 0.1).total, (rows,))
