from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from heed.losses.confidence import confidence
from heed.losses.reward import bradley_terry
from heed.losses.term import Term


def rows(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def soft_label(gap: float, chance: float, alpha: float) -> list[Term]:
    """A pair in both orders, weighted by the label."""
    weight = rows(chance, 1 - chance)
    return confidence(rows(gap, 0), rows(0, gap), rows(0, 0), weight, alpha=alpha)


def objective(terms: list[Term]) -> float:
    return sum(term.weight * float(term.total) for term in terms)


def test_by_hand() -> None:
    # f = sigmoid(2) = .880797; a label of .3; -log f = .126928, -log(1 - f) = 2.126928.
    terms = soft_label(2.0, 0.3, alpha=0.25)
    labelled, own, agreement, *_ = terms
    assert labelled.total.item() == pytest.approx(0.3 * 0.126928 + 0.7 * 2.126928, abs=1e-6)
    assert own.total.item() == pytest.approx(0.126928, abs=1e-6)
    assert agreement.total.item() == pytest.approx(0.3)
    assert (labelled.weight, own.weight, agreement.weight) == (0.75, 0.25, 0)
    assert objective(terms) == pytest.approx(0.75 * 1.526928 + 0.25 * 0.126928, abs=1e-6)
    assert {term.count for term in terms[:3]} == {"weight"}


@settings(deadline=None, max_examples=40)
@given(st.floats(-8, 8), st.floats(0, 1), st.floats(0, 1))
def test_it_is_the_cross_entropy_of_the_mixed_label(
    gap: float, chance: float, alpha: float
) -> None:
    """As Burns et al. write it: CE(f, (1 - alpha) weak + alpha own)."""
    label = (1 - alpha) * chance + alpha * (gap > 0 or (gap == 0) / 2)
    p = 1 / (1 + math.exp(-gap))
    want = -label * math.log(p) - (1 - label) * math.log(1 - p)
    assert objective(soft_label(gap, chance, alpha)) == pytest.approx(want, rel=1e-6, abs=1e-9)


def test_alpha_0_is_bradley_terry_and_a_sure_label_a_hard_one() -> None:
    chosen, rejected, margin, weight = rows(1, -2), rows(0.5, 3), rows(0.3, 0), rows(2, 0.5)
    plain = bradley_terry(chosen, rejected, margin, weight)
    for alpha in (0.0, 0.6):
        terms = {t.name: t for t in confidence(chosen, rejected, margin, weight, alpha=alpha)}
        assert terms["bradley_terry"].weight == 1 - alpha
        for term in plain:
            assert torch.equal(terms[term.name].total, term.total)
    assert objective(soft_label(1.5, 1.0, 0.0)) == pytest.approx(
        objective(bradley_terry(rows(1.5), rows(0), rows(0), rows(1)))
    )


def test_the_threshold_that_balances_pairs_is_one_half() -> None:
    """Read in both orders, half of the examples lie above it whatever the model says."""
    gaps = torch.randn(50, dtype=torch.float64) + 3.0
    both = torch.cat([gaps, -gaps])
    assert (both > 0).sum() == 50
    assert torch.sigmoid(both).quantile(0.5, interpolation="midpoint") == pytest.approx(0.5)


def test_its_own_verdict_pulls_away_from_the_threshold_and_carries_no_gradient() -> None:
    gap = rows(0.5, -0.5).requires_grad_()
    terms = confidence(gap, rows(0, 0), rows(0, 0), rows(1, 1), alpha=0.5)
    (pull,) = torch.autograd.grad(terms[1].total, gap)
    assert pull.tolist() == pytest.approx([-0.377541, 0.377541], abs=1e-6)  # sigmoid(.5) - 1
    assert not any(term.total.requires_grad for term in terms if term.weight == 0)


def test_gradients() -> None:
    inputs = [torch.randn(5, dtype=torch.float64, requires_grad=True) for _ in range(4)]

    def total(*tensors: Tensor) -> Tensor:
        terms = confidence(*tensors, alpha=0.3)
        return sum((t.weight * t.total for t in terms if t.weight), torch.zeros(()))

    assert torch.autograd.gradcheck(total, inputs)
