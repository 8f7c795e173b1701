from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from heed.losses.preference import (
    PREFERENCE_LOSSES,
    PairLogprobs,
    PreferenceLoss,
    cdpo,
    cpo,
    dpo,
    dpo_norm,
    hinge,
    ipo,
    ipo_norm,
    odpo,
    orpo,
    preference_terms,
    robust,
    simpo,
    slic,
)
from heed.recipe import LOSSES


def pairs(
    chosen: list[float],
    rejected: list[float],
    ref_chosen: list[float] | None = None,
    ref_rejected: list[float] | None = None,
) -> PairLogprobs:
    zero = [0.0] * len(chosen)
    rows = (chosen, rejected, ref_chosen or zero, ref_rejected or zero, zero, zero, zero)
    return PairLogprobs(*(torch.tensor(row, dtype=torch.float64) for row in rows))


def test_dpo_by_hand() -> None:
    """From torchtune's test_dpo_loss.py: beta .1, differences of log-ratios of 0, 10 and 20."""
    logprobs = pairs([-5, -5, 0], [-5, -10, -15], [-5, -10, 0], [-5, -5, 5])
    want = torch.tensor([0.693147, 0.313262, 0.126928], dtype=torch.float64)
    torch.testing.assert_close(dpo(logprobs, 0.1), want, atol=1e-6, rtol=0)


@pytest.mark.parametrize("beta", [0.01, 0.1, 5.0])
def test_a_policy_that_is_the_reference_has_ln_2(beta: float) -> None:
    logprobs = pairs([-3, -70], [-9, -1], [-3, -70], [-9, -1])
    assert dpo(logprobs, beta).tolist() == pytest.approx([math.log(2)] * 2, abs=1e-12)
    # TRL's tests/invariant/references/dpo.json, in single precision
    assert dpo(logprobs, beta)[0].item() == pytest.approx(0.6931471825, abs=1e-7)


def test_dpo_moves_chosen_up_and_rejected_down() -> None:
    logprobs = pairs([-4], [-6], [-5], [-5])
    logprobs.chosen.requires_grad_()
    logprobs.rejected.requires_grad_()
    dpo(logprobs, 0.1).sum().backward()
    assert logprobs.chosen.grad is not None
    assert logprobs.rejected.grad is not None
    # d loss / d chosen = -beta sigmoid(-(reward gap)), the paper's eq. 8
    want = -0.1 / (1 + math.exp(0.2))
    assert logprobs.chosen.grad.item() == pytest.approx(want)
    assert logprobs.rejected.grad.item() == pytest.approx(-want)


def test_terms() -> None:
    logprobs = pairs([-1, -2, -3], [-2, -2, -1], [-2, -2, -2], [-2, -2, -2])
    weight = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    losses = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64, requires_grad=True)
    terms = preference_terms(losses, logprobs, weight, 0.5)
    assert [(t.name, t.total.item(), t.count, t.weight) for t in terms] == [
        ("preference", 1 + 20 + 50, "weight", 1),
        ("accuracy", 1.5, "rows", 0),
        ("reward_margin", -0.5, "rows", 0),
        ("chosen_reward", 0, "rows", 0),
        ("rejected_reward", 0.5, "rows", 0),
    ]
    assert [term.total.requires_grad for term in terms] == [True, False, False, False, False]


numbers = st.floats(-50, 0)


@settings(deadline=None, max_examples=60)
@given(numbers, numbers, numbers, numbers, st.floats(0.01, 2))
def test_dpo_sees_the_difference_of_log_ratios_alone(
    chosen: float, rejected: float, ref_chosen: float, ref_rejected: float, beta: float
) -> None:
    logprobs = pairs([chosen], [rejected], [ref_chosen], [ref_rejected])
    gap = beta * ((chosen - ref_chosen) - (rejected - ref_rejected))
    assert dpo(logprobs, beta).item() == pytest.approx(
        math.log1p(math.exp(-abs(gap))) + max(-gap, 0), abs=1e-9
    )
    swapped = pairs([rejected], [chosen], [ref_rejected], [ref_chosen])
    assert dpo(swapped, beta).item() - dpo(logprobs, beta).item() == pytest.approx(gap, abs=1e-9)


# One pair both ways round: log-ratios +1 and -1, so h = 2 and at beta .5 a gap of 1; 4 tokens and
# 2, so log-ratios a token +1/4 and -1/2, log-probs a token -1 and -3; margin 2/3. -log sigmoid is
# .313262 at 1 and 1.313262 at -1.
HERE, BACK = (-4.0, -6.0, -5.0, -5.0, 4.0, 2.0, 2 / 3), (-6.0, -4.0, -5.0, -5.0, 2.0, 4.0, 2 / 3)


def both_ways() -> PairLogprobs:
    rows = zip(HERE, BACK, strict=True)
    return PairLogprobs(*(torch.tensor(row, dtype=torch.float64) for row in rows))


@pytest.mark.parametrize(
    ("loss", "want"),
    [
        (dpo, [0.313262, 1.313262]),
        # gap .5 (1/4 + 1/2) = .375: log(1 + e^-.375) = log 1.687289; and .375 more
        (dpo_norm, [0.523123, 0.898123]),
        # .8 x .313262 + .2 x 1.313262; .8 x 1.313262 + .2 x .313262
        (partial(cdpo, smoothing=0.2), [0.513262, 1.113262]),
        # (.8 x .313262 - .2 x 1.313262) / .6; (.8 x 1.313262 - .2 x .313262) / .6
        (partial(robust, smoothing=0.2), [-0.020072, 1.646595]),
        # 1 - 1.5 x 2/3 = 0: ln 2; -1 - 1 = -2: log(1 + e^2)
        (partial(odpo, offset=1.5), [0.693147, 2.126928]),
        (ipo, [1.0, 9.0]),  # (2 - 1)^2, (-2 - 1)^2
        (ipo_norm, [0.0625, 3.0625]),  # (3/4 - 1)^2, (-3/4 - 1)^2
        (hinge, [0.0, 2.0]),
        (slic, [0.0, 2.0]),  # .5 (-4 + 6) = 1: nothing left to learn
        (cpo, [0.313262, 1.313262]),
        # .5 (-1 + 3) - .5 = .5: log(1 + e^-.5); -1.5: log(1 + e^1.5)
        (partial(simpo, gamma=0.5), [0.474077, 1.701413]),
        # odds 1 / (e - 1) = .581977 and 1 / (e^3 - 1) = .052396, 11.1073 to 1 (e^2 + e + 1):
        # .5 log(1 + 1 / 11.1073), .5 log(12.1073)
        (orpo, [0.043103, 1.246906]),
    ],
)  # fmt: skip
def test_by_hand(loss: PreferenceLoss, want: list[float]) -> None:
    assert loss(both_ways(), 0.5).tolist() == pytest.approx(want, abs=1e-6)


def chosen_for(name: str, **own: float) -> PreferenceLoss:
    """A loss with its own settings, the recipe's defaults where none are given."""
    return partial(PREFERENCE_LOSSES[name], **{**LOSSES[name].own, **own})  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "want"),
    [("dpo", math.log(2)), ("dpo_norm", math.log(2)), ("cdpo", math.log(2)),
     ("robust", math.log(2)), ("ipo", 1 / (4 * 0.2**2)), ("ipo_norm", 1 / (4 * 0.2**2)),
     ("hinge", 1.0), ("odpo", math.log1p(math.exp(2 / 3)))],
)  # fmt: skip
def test_where_the_policy_is_the_reference(name: str, want: float) -> None:
    here = both_ways()
    same = replace(here, ref_chosen=here.chosen, ref_rejected=here.rejected)
    assert chosen_for(name)(same, 0.2).tolist() == pytest.approx([want, want], abs=1e-9)


def random_pairs(rows: int = 9) -> PairLogprobs:
    draw = torch.Generator().manual_seed(1)
    floats = torch.rand(7, rows, generator=draw, dtype=torch.float64)
    return PairLogprobs(*(-9 * floats[:4]), *(1 + (8 * floats[4:6]).floor()), floats[6])


@pytest.mark.parametrize("beta", [0.1, 0.7, 3.0])
def test_special_cases_are_other_losses(beta: float) -> None:
    pairs = random_pairs()
    same = partial(torch.testing.assert_close, rtol=0, atol=1e-12)
    same(cdpo(pairs, beta, smoothing=0.0), dpo(pairs, beta))
    same(robust(pairs, beta, smoothing=0.0), dpo(pairs, beta))
    same(odpo(replace(pairs, margin=0 * pairs.margin), beta, offset=2.0), dpo(pairs, beta))
    zero = replace(pairs, ref_chosen=0 * pairs.ref_chosen, ref_rejected=0 * pairs.ref_rejected)
    same(cpo(pairs, beta), dpo(zero, beta))
    same(slic(pairs, beta), hinge(zero, beta))
    same(simpo(pairs, beta, gamma=0.0), dpo_norm(zero, beta))
    five = 0 * pairs.chosen_tokens + 5  # answers of one length: only beta's scale is another
    equal = replace(pairs, chosen_tokens=five, rejected_tokens=five)
    same(dpo_norm(equal, beta), dpo(pairs, beta / 5))
    same(ipo_norm(equal, beta), ipo(pairs, beta / 5) / 25)


def test_robust_is_dpo_on_true_labels_in_expectation() -> None:
    pairs = random_pairs()
    flipped = replace(
        pairs, chosen=pairs.rejected, rejected=pairs.chosen,
        ref_chosen=pairs.ref_rejected, ref_rejected=pairs.ref_chosen,
    )  # fmt: skip
    mean = 0.7 * robust(pairs, 0.3, smoothing=0.3) + 0.3 * robust(flipped, 0.3, smoothing=0.3)
    torch.testing.assert_close(mean, dpo(pairs, 0.3), rtol=0, atol=1e-12)


def slope(loss: PreferenceLoss, gap: float, beta: float, **more: Any) -> float:
    """The derivative of the loss where the log-ratios differ by `gap`."""
    chosen = torch.tensor([gap], dtype=torch.float64, requires_grad=True)
    loss(replace(pairs([0.0], [0.0]), chosen=chosen, **more), beta).sum().backward()
    assert chosen.grad is not None
    return chosen.grad.item()


def test_where_nothing_is_left_to_learn() -> None:
    assert slope(ipo, 2.5, 0.2) == pytest.approx(0, abs=1e-12)  # h = 1 / (2 beta)
    assert slope(ipo, 2.6, 0.2) > 0 > slope(ipo, 2.4, 0.2)
    even = math.log(0.9 / 0.1) / 0.2  # sigmoid(gap) = 1 - eps
    assert slope(partial(cdpo, smoothing=0.1), even, 0.2) == pytest.approx(0, abs=1e-12)
    assert slope(hinge, 5.1, 0.2) == 0 > slope(hinge, 4.9, 0.2)
    assert slope(slic, 5.1, 0.2) == 0 > slope(slic, 4.9, 0.2)
    assert slope(dpo, 50, 0.2) < 0  # never


def test_the_recipe_knows_every_loss() -> None:
    assert list(LOSSES) == list(PREFERENCE_LOSSES)
    for name, facts in LOSSES.items():
        keywords = inspect.signature(PREFERENCE_LOSSES[name]).parameters.values()
        own = {each.name for each in keywords if each.kind is inspect.Parameter.KEYWORD_ONLY}
        assert own == set(facts.own), name


@pytest.mark.parametrize("name", PREFERENCE_LOSSES)
def test_the_recipe_knows_what_a_loss_looks_at(name: str) -> None:
    facts = LOSSES[name]  # type: ignore[index]
    loss, beta, pairs = chosen_for(name), facts.beta / 10, random_pairs()
    here = loss(pairs, beta)
    moved = loss(replace(pairs, ref_chosen=pairs.ref_chosen - 1), beta)
    assert torch.equal(here, moved) == (not facts.reference)
    longer = replace(pairs, chosen_tokens=pairs.chosen_tokens + 1)
    assert torch.equal(here, loss(longer, beta)) == (not facts.per_token)
    wider = replace(pairs, margin=pairs.margin + 1)
    assert torch.equal(here, loss(wider, beta)) == ("offset" not in facts.own)


@pytest.mark.parametrize("name", PREFERENCE_LOSSES)
def test_hopeless_and_certain_pairs_stay_finite(name: str) -> None:
    rows = pairs([-900.0, 0.0], [0.0, -900.0])
    rows = replace(rows, chosen_tokens=rows.chosen + 901, rejected_tokens=rows.rejected + 901)
    rows = PairLogprobs(*(part.float() for part in vars(rows).values()))
    chosen = rows.chosen.clone().requires_grad_()
    losses = chosen_for(name)(replace(rows, chosen=chosen), 0.5)
    losses.sum().backward()
    assert losses.isfinite().all()
    assert chosen.grad is not None
    assert chosen.grad.isfinite().all()


@pytest.mark.parametrize("name", PREFERENCE_LOSSES)
def test_gradients(name: str) -> None:
    draw = torch.Generator().manual_seed(0)
    rows = -4 * torch.rand(7, 5, generator=draw, dtype=torch.float64)
    logprobs = PairLogprobs(*rows)
    lengths = torch.arange(3.0, 8.0, dtype=torch.float64)
    logprobs = replace(logprobs, chosen_tokens=lengths, rejected_tokens=lengths + 1)
    loss: Callable[..., Tensor] = chosen_for(name)

    def function(chosen: Tensor, rejected: Tensor) -> Tensor:
        return loss(replace(logprobs, chosen=chosen, rejected=rejected), 0.3)

    inputs = (logprobs.chosen.requires_grad_(), logprobs.rejected.requires_grad_())
    assert torch.autograd.gradcheck(function, inputs)
