"""KL as a loss, by hand; tests/losses/test_kl_gradient.py says whose gradient is KL's."""

from __future__ import annotations

import math

import pytest
import torch

from heed.losses.kl import KL_LOSSES, AnswerLogprobs, kl_penalty
from heed.losses.policy import aggregations
from heed.recipe import Kl

TARGET = torch.tensor([[True, True, False], [True, False, False]])
POLICY = torch.tensor([[-1.0, -2.0, 0.0], [-1.0, 0.0, 0.0]])
REFERENCE = torch.tensor([[-1.5, -1.0, 0.0], [-1.0, 0.0, 0.0]])
OLD = torch.tensor([[-1.2, -2.0, 0.0], [-2.0, 0.0, 0.0]])
AT = AnswerLogprobs(POLICY, OLD, REFERENCE, TARGET)
K3 = {x: math.exp(x) - 1 - x for x in (-0.5, 0.5, 1.0)}
"""By log reference / policy."""


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("k2", [0.125, 0.5]),
        ("k3", [K3[-0.5], K3[1.0]]),
        ("k2_sequence", [0.0625, 0.0625]),  # 1/2 (-3 + 2.5)^2, half of it each
        ("k3_sequence", [math.exp(0.2) * K3[0.5] / 2] * 2),  # times e^(-3 + 3.2)
    ],
)
def test_by_hand(name: str, want: list[float]) -> None:
    found = KL_LOSSES[name](AT)
    assert found[0, :2].tolist() == pytest.approx(want)
    assert found[1].tolist() == [0, 0, 0]  # where the policy is the reference
    assert found[0, 2].item() == 0


@pytest.mark.parametrize("name", KL_LOSSES)
def test_of_one_token_answers_those_of_tokens_and_sequences_agree(name: str) -> None:
    draw = torch.Generator().manual_seed(0)
    policy, reference = -3 * torch.rand(2, 5, 1, generator=draw)
    at = AnswerLogprobs(policy, policy, reference, torch.ones(5, 1, dtype=torch.bool))
    torch.testing.assert_close(KL_LOSSES[name](at), KL_LOSSES[name[:2]](at))


@pytest.mark.parametrize("name", KL_LOSSES)
@pytest.mark.parametrize("outside", [math.nan, 1e4, -math.inf])
def test_what_stands_outside_the_target_never_counts(name: str, outside: float) -> None:
    policy = POLICY.masked_fill(~TARGET, outside).requires_grad_()
    at = AnswerLogprobs(policy, OLD, REFERENCE, TARGET)
    for aggregate in aggregations(4).values():
        found = kl_penalty(at, 1.0, estimate=KL_LOSSES[name], aggregate=aggregate)
        want = kl_penalty(AT, 1.0, estimate=KL_LOSSES[name], aggregate=aggregate)
        torch.testing.assert_close(found.total, want.total)
        (gradient,) = torch.autograd.grad(found.total, policy)
        assert gradient.isfinite().all()
        assert not gradient[~TARGET].any()


@pytest.mark.parametrize("name", KL_LOSSES)
def test_gradients(name: str) -> None:
    draw = torch.Generator().manual_seed(0)
    policy, old, reference = torch.randn(3, 2, 3, generator=draw, dtype=torch.float64)

    def loss(policy: torch.Tensor) -> torch.Tensor:
        at = AnswerLogprobs(policy, old, reference, TARGET)
        return torch.stack([
            kl_penalty(at, 0.5, estimate=KL_LOSSES[name], aggregate=over).total
            for over in aggregations(4).values()
        ])  # fmt: skip

    assert torch.autograd.gradcheck(loss, policy.requires_grad_())


def test_the_penalty_weighs_as_the_coefficient_says() -> None:
    over = aggregations(4)
    term = kl_penalty(AT, 0.3, estimate=KL_LOSSES["k2_sequence"], aggregate=over["constant"])
    assert (term.name, term.count, term.weight) == ("kl_loss", "rows", 0.3)
    assert term.total.item() == pytest.approx(0.125 / 4)


def test_the_recipe_offers_them_all_and_k1_is_none() -> None:
    names = {name for name in KL_LOSSES if Kl(loss=name)}  # type: ignore[arg-type]
    assert names == set(KL_LOSSES)
    assert not any(name.startswith("k1") for name in names)
