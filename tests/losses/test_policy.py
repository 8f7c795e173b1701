from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from heed.losses.policy import (
    LOG_RATIOS,
    aggregations,
    entropy_bonus,
    over_sequences,
    ppo_clip,
    sequence_log_ratio,
)
from heed.losses.term import Term

RATIOS = torch.tensor([[0.5, 1.0, 1.5]])
ADVANTAGES = torch.tensor([[1.0, -1.0, 2.0]])
EVERYWHERE = torch.ones(1, 3, dtype=torch.bool)
CLIP = {"clip_low": 0.2, "clip_high": 0.2}


def named(terms: list[Term]) -> dict[str, Term]:
    return {term.name: term for term in terms}


def test_by_hand() -> None:
    """NeMo-RL's loss tests: per token -.5, 1, -2.4, mean -.63333."""
    terms = named(ppo_clip(RATIOS.log(), torch.zeros(1, 3), ADVANTAGES, EVERYWHERE, **CLIP))
    loss = terms["policy_loss"]
    assert (loss.count, loss.weight) == ("tokens", 1)
    assert loss.total.item() / 3 == pytest.approx(-0.63333, abs=1e-5)
    for token, want in enumerate([-0.5, 1.0, -2.4]):
        alone = torch.arange(3)[None] == token
        terms = named(ppo_clip(RATIOS.log(), torch.zeros(1, 3), ADVANTAGES, alone, **CLIP))
        assert terms["policy_loss"].total.item() == pytest.approx(want)


def test_clip_higher_by_hand() -> None:
    """DAPO: the upper bound alone is moved, here to 1.6 and to 1.4."""
    zero = torch.zeros(1, 3)
    for high, want in [(0.6, -0.5 + 1 - 3.0), (0.4, -0.5 + 1 - 2.8)]:
        terms = ppo_clip(RATIOS.log(), zero, ADVANTAGES, EVERYWHERE, clip_low=0.2, clip_high=high)
        assert terms[0].total.item() == pytest.approx(want)
    # The lower bound is where it was: a ratio of .5 gains nothing below .8.
    down = ppo_clip(RATIOS.log(), zero, -ADVANTAGES, EVERYWHERE, clip_low=0.2, clip_high=0.6)
    assert down[0].total.item() == pytest.approx(0.8 - 1 + 3.0)


ANSWERS = torch.tensor([[True, True, False], [True, False, False]])


def test_sequence_ratio_by_hand() -> None:
    """GSPO: log-ratios .3 and .1 make a ratio of e^.2 = 1.2214, clipped at 1.1 as a whole."""
    log_ratio = torch.tensor([[0.3, 0.1, 9.0], [-0.5, 9.0, 9.0]])
    zero = torch.zeros(2, 3)
    found = sequence_log_ratio(log_ratio, zero, ANSWERS)
    torch.testing.assert_close(found, torch.tensor([[0.2, 0.2, 0.0], [-0.5, 0.0, 0.0]]))
    for advantage, want in [(2.0, -2.2 - 2 * math.exp(-0.5)), (-1.0, math.exp(0.2) + 0.9)]:
        terms = named(
            ppo_clip(
                log_ratio,
                zero,
                torch.full((2, 3), advantage),
                ANSWERS,
                clip_low=0.1,
                clip_high=0.1,
                log_ratio=sequence_log_ratio,
                aggregate=over_sequences,
            )
        )
        loss = terms["policy_loss"]
        assert loss.count == "rows"
        assert loss.total.item() == pytest.approx(want, abs=1e-6)
        # Both tokens of the first answer are clipped, or the one of the second.
        assert terms["clip_fraction"].total.item() == (2 if advantage > 0 else 1)


def test_aggregations_by_hand() -> None:
    x = torch.tensor([[1.0, 2.0, math.nan], [4.0, math.nan, math.nan]])
    found = {name: over(x, ANSWERS) for name, over in aggregations(5).items()}
    assert {name: (total.item(), count) for name, (total, count) in found.items()} == {
        "token": (7.0, "tokens"),
        "sequence": (5.5, "rows"),
        "constant": (pytest.approx(7 / 5), "rows"),
    }


def test_of_answers_of_one_length_all_aggregations_agree() -> None:
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    target = torch.ones(4, 3, dtype=torch.bool)
    counts = {"tokens": 12, "rows": 4}
    means = [total.item() / counts[count] for total, count in
             (over(x, target) for over in aggregations(3).values())]  # fmt: skip
    assert means == pytest.approx([x.mean().item()] * 3, abs=1e-6)


def test_the_sequence_ratio_is_gspo_where_advantages_are_of_answers() -> None:
    """Value and gradient of 1/n sum_i min(s_i A_i, clip(s_i) A_i), s_i written out (eq. 5)."""
    draw = torch.Generator().manual_seed(2)
    logprobs, old = 0.3 * torch.randn(2, 6, 4, generator=draw, dtype=torch.float64)
    advantage = torch.randn(6, generator=draw, dtype=torch.float64)
    target = torch.arange(4) < torch.tensor([[1], [2], [3], [4], [4], [2]])
    logprobs.requires_grad_()
    mean = (torch.where(target, logprobs - old, 0.0).sum(1) / target.sum(1)).exp()
    want = -torch.minimum(mean * advantage, mean.clamp(0.95, 1.1) * advantage).sum()
    loss = ppo_clip(
        logprobs,
        old,
        advantage[:, None].expand(6, 4),
        target,
        clip_low=0.05,
        clip_high=0.1,
        log_ratio=sequence_log_ratio,
        aggregate=over_sequences,
    )[0].total
    torch.testing.assert_close(loss, want)
    gradients = [torch.autograd.grad(x, logprobs, retain_graph=True)[0] for x in (loss, want)]
    torch.testing.assert_close(*gradients)
    assert 0 < int((gradients[0].abs().sum(1) > 0).sum()) < 6  # some are clipped


def test_measurements() -> None:
    terms = named(ppo_clip(RATIOS.log(), torch.zeros(1, 3), ADVANTAGES, EVERYWHERE, **CLIP))
    # Of .5 and 1.5, both outside the range, the clip bites only where it makes the loss larger.
    assert terms["clip_fraction"].total.item() == 1
    # KL(old || policy): r - 1 - log r with r = policy / old
    want = sum(ratio - 1 - math.log(ratio) for ratio in (0.5, 1.0, 1.5))
    assert terms["approx_kl"].total.item() == pytest.approx(want, abs=1e-6)
    for name in ("clip_fraction", "approx_kl"):
        assert (terms[name].count, terms[name].weight) == ("tokens", 0)


@pytest.mark.parametrize(
    ("ratio", "advantage", "flows"),
    [(1.5, 1.0, False), (1.5, -1.0, True), (0.5, 1.0, True), (0.5, -1.0, False), (1.1, 1.0, True)],
)
def test_the_clip_stops_only_moves_that_went_far_enough(
    ratio: float, advantage: float, flows: bool
) -> None:
    logprobs = torch.tensor([[math.log(ratio)]], requires_grad=True)
    one = torch.ones(1, 1)
    terms = ppo_clip(logprobs, one * 0, one * advantage, one.bool(), **CLIP)
    (gradient,) = torch.autograd.grad(terms[0].total, logprobs)
    assert gradient.item() == pytest.approx(-advantage * ratio if flows else 0)
    assert terms[1].total.item() == (not flows)


def test_on_policy_the_gradient_is_reinforce() -> None:
    logprobs = torch.log(torch.rand(2, 4, dtype=torch.float64)).requires_grad_()
    advantages = torch.randn(2, 4, dtype=torch.float64)
    target = torch.tensor([[0, 1, 1, 0], [1, 1, 1, 1]]).bool()
    terms = ppo_clip(logprobs, logprobs.detach(), advantages, target, **CLIP)
    (gradient,) = torch.autograd.grad(terms[0].total, logprobs)
    torch.testing.assert_close(gradient, torch.where(target, -advantages, 0.0))
    assert terms[1].total.item() == terms[2].total.item() == 0


@pytest.mark.parametrize("outside", [math.nan, 1e4, -math.inf])
@pytest.mark.parametrize("name", aggregations(3))
def test_rubbish_outside_the_target_reaches_no_sequence(outside: float, name: str) -> None:
    logprobs = RATIOS.log().clone()
    logprobs[0, 2] = outside
    logprobs.requires_grad_()
    target = torch.tensor([[True, True, False]])
    (loss, *_) = ppo_clip(
        logprobs,
        torch.zeros(1, 3),
        ADVANTAGES,
        target,
        **CLIP,
        log_ratio=sequence_log_ratio,
        aggregate=aggregations(3)[name],
    )
    (gradient,) = torch.autograd.grad(loss.total, logprobs)
    assert math.isfinite(loss.total.item())
    assert gradient[0, 2].item() == 0
    assert gradient.isfinite().all()


@pytest.mark.parametrize("outside", [math.nan, 1e4, -math.inf])
def test_what_stands_outside_the_target_never_counts(outside: float) -> None:
    logprobs = RATIOS.log().clone()
    logprobs[0, 2] = outside
    logprobs.requires_grad_()
    target = torch.tensor([[True, True, False]])
    terms = ppo_clip(logprobs, torch.zeros(1, 3), ADVANTAGES, target, **CLIP)
    assert terms[0].total.item() == pytest.approx(0.5)
    (gradient,) = torch.autograd.grad(terms[0].total, logprobs)
    assert gradient[0].tolist() == pytest.approx([-0.5, 1.0, 0.0])


@settings(deadline=None, max_examples=60)
@given(st.floats(-2, 2), st.floats(-3, 3), st.floats(0.05, 0.5))
def test_the_objective_is_a_lower_bound_of_the_unclipped_one(
    log_ratio: float, advantage: float, clip: float
) -> None:
    one = torch.ones(1, 1, dtype=torch.float64)
    terms = ppo_clip(
        one * log_ratio, one * 0, one * advantage, one.bool(), clip_low=clip, clip_high=clip
    )
    assert terms[0].total.item() >= -advantage * math.exp(log_ratio) - 1e-12
    assert terms[2].total.item() >= 0


def test_entropy_bonus_rewards_randomness() -> None:
    entropy = torch.tensor([[1.0, 2.0, 9.0]], requires_grad=True)
    target = torch.tensor([[True, True, False]])
    term = entropy_bonus(entropy, target, 0.01)
    assert (term.name, term.total.item(), term.count, term.weight) == (
        "entropy",
        3,
        "tokens",
        -0.01,
    )
    assert term.total.requires_grad


def test_without_a_coefficient_entropy_is_only_measured() -> None:
    term = entropy_bonus(torch.ones(1, 3, requires_grad=True), EVERYWHERE, 0.0)
    assert term.total.item() == 3
    assert term.weight == 0
    assert not term.total.requires_grad


def test_gradients() -> None:
    draw = torch.Generator().manual_seed(0)
    logprobs, old, advantages = torch.randn(3, 2, 4, generator=draw, dtype=torch.float64)
    target = torch.tensor([[0, 1, 1, 0], [1, 1, 1, 1]]).bool()

    def loss(logprobs: Tensor) -> Tensor:
        return ppo_clip(logprobs, old, advantages, target, **CLIP)[0].total

    assert torch.autograd.gradcheck(loss, logprobs.requires_grad_())
    advantages = advantages[:, :1].expand(2, 4)  # of answers: else the sequence ratio is no ratio
    for log_ratio in LOG_RATIOS.values():
        for aggregate in aggregations(5).values():
            # The value of a sequence's ratio is every token's, its gradient each token's own: only
            # the mean over an answer has both.
            if log_ratio is sequence_log_ratio and aggregate is not over_sequences:
                continue
            assert torch.autograd.gradcheck(
                lambda x, r=log_ratio, a=aggregate: (
                    ppo_clip(x, old, advantages, target, **CLIP, log_ratio=r, aggregate=a)[0].total
                ),
                logprobs,
            )
    assert torch.autograd.gradcheck(
        lambda entropy: entropy_bonus(entropy, target, 0.3).total, logprobs
    )
