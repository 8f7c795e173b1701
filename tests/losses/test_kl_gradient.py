"""Which way of holding a policy near its reference follows the gradient of KL(policy || reference)?

A model of two-token answers is small enough to enumerate: three tokens, the first of which ends an
answer, so that answers have one or two tokens. Every expectation is exact, and so is the gradient
that an estimator is held against.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, log_softmax

from heed.losses.kl import KL_LOSSES, AnswerLogprobs
from heed.losses.policy import aggregations, ppo_clip
from heed.ops.advantages import gae, rewards_to_go, token_rewards
from heed.ops.batch import Sequences
from heed.ops.kl import k1, k2
from heed.ops.masked import whiten
from heed.policies.experience import Experience
from heed.policies.grpo import grpo
from heed.policies.others import Others
from heed.policies.rloo import rloo

ANSWERS = [(0, 0)] + [(first, second) for first in (1, 2) for second in range(3)]
IDS = torch.tensor(ANSWERS)
MASK = torch.tensor([[True, first != 0] for first, _ in ANSWERS])

# Row 0: logits of the first token; rows 1 and 2: of the second, after a 1 or a 2.
POLICY = torch.tensor([[0.2, 0.9, -0.4], [1.0, -0.7, 0.3], [-0.5, 0.1, 1.2]], dtype=torch.float64)
REFERENCE = torch.tensor([[0.6, 0.0, 0.0], [-0.5, 0.4, 0.8], [0.7, 0.9, -0.6]], dtype=torch.float64)


def token_logprobs(logits: Tensor) -> Tensor:
    """Log-prob of both tokens of every answer; 0 where an answer has no second token."""
    table = log_softmax(logits, dim=1)
    first = table[0, IDS[:, 0]]
    second = torch.where(MASK[:, 1], table[IDS[:, 0], IDS[:, 1]], 0.0)
    return torch.stack([first, second], dim=1)


REF = token_logprobs(REFERENCE)
LOGITS = POLICY.clone().requires_grad_()
LOGPROBS = token_logprobs(LOGITS)
PROBABILITY = LOGPROBS.detach().sum(1).exp()


def gradient(loss: Tensor) -> Tensor:
    (result,) = torch.autograd.grad(loss, LOGITS, retain_graph=True)
    return result.flatten()


def true_gradient() -> Tensor:
    """Of the sum over answers of p log(p / ref), by automatic differentiation."""
    logprob = LOGPROBS.sum(1)
    return gradient((logprob.exp() * (logprob - REF.sum(1))).sum())


def cosine(estimate: Tensor) -> float:
    return cosine_similarity(estimate, true_gradient(), dim=0).item()


def policy_gradient(advantages: Tensor) -> Tensor:
    """The expected gradient of PPO's loss on fresh rollouts."""
    # On policy the loss is linear in the advantages, so an answer's probability can ride on them.
    weighted = PROBABILITY[:, None] * advantages
    return gradient(
        ppo_clip(LOGPROBS, LOGPROBS.detach(), weighted, MASK, clip_low=0.2, clip_high=0.2)[0].total
    )


def rewards(kl_coef: float = 1.0) -> Tensor:
    """KL per token by k1, and a score of 0."""
    return token_rewards(
        torch.zeros(len(ANSWERS), dtype=torch.float64),
        k1(LOGPROBS.detach(), REF),
        MASK,
        kl_coef=kl_coef,
    )


def exact_values() -> Tensor:
    """What a perfect value model would say: the expected sum of rewards to come."""
    to_come = rewards().flip(1).cumsum(1).flip(1)
    start = (PROBABILITY * to_come[:, 0]).sum().expand(len(ANSWERS))
    same_first = (IDS[:, :1] == IDS[:, 0]) & MASK[:, 1]
    share = torch.where(same_first, PROBABILITY, 0.0)
    after_first = (share @ to_come[:, 1]) / share.sum(1).clamp(min=1e-300)
    return torch.where(MASK, torch.stack([start, after_first], dim=1), 0.0)


def test_the_answers_are_all_there() -> None:
    assert PROBABILITY.sum().item() == pytest.approx(1)
    assert token_logprobs(REFERENCE).sum(1).exp().sum().item() == pytest.approx(1)


@pytest.mark.parametrize("values", [torch.zeros(len(ANSWERS), 2).double(), exact_values()])
def test_k1_in_the_reward_is_the_exact_gradient(values: Tensor) -> None:
    """With gamma = lambda = 1 (rewards to go), whatever the baseline: not only the direction."""
    advantages, _ = gae(rewards(), values, MASK, gamma=1.0, lam=1.0)
    torch.testing.assert_close(policy_gradient(advantages), true_gradient())


@pytest.mark.parametrize("lam", [0.0, 0.95])
def test_with_a_perfect_value_model_any_lambda_is_exact(lam: float) -> None:
    advantages, _ = gae(rewards(), exact_values(), MASK, gamma=1.0, lam=lam)
    torch.testing.assert_close(policy_gradient(advantages), true_gradient())


def test_what_ppo_ships() -> None:
    """Lambda .95, whitened advantages, a value head that starts at 0: cosine .99996."""
    zero = torch.zeros(len(ANSWERS), 2, dtype=torch.float64)
    advantages, _ = gae(rewards(), zero, MASK, gamma=1.0, lam=0.95)
    assert cosine(policy_gradient(whiten(advantages, MASK))) == pytest.approx(0.99996, abs=1e-5)


def test_whitening_with_the_statistics_of_a_large_round_keeps_the_direction() -> None:
    """REINFORCE++: what is subtracted and divided by depends on no answer, so long as there are
    many.
    """
    to_go = rewards_to_go(rewards(), MASK)
    chance = (PROBABILITY[:, None] * MASK) / (PROBABILITY[:, None] * MASK).sum()
    mean = (chance * to_go).sum()
    deviation = (chance * (to_go - mean).square()).sum().sqrt()
    found = policy_gradient(torch.where(MASK, (to_go - mean) / deviation, 0.0))
    torch.testing.assert_close(found * deviation, true_gradient())


# The policy that sampled, a few steps before: for losses used off policy.
OLD = torch.tensor([[0.0, 0.7, 0.1], [0.4, -0.2, 0.5], [-0.1, 0.4, 0.6]], dtype=torch.float64)

SHIPPED = {  # name: cosine on policy, off policy; then both where an answer's tokens are averaged
    "k2_sequence": (1.0, 0.9105, 0.9928, 0.9365),
    "k3_sequence": (1.0, 1.0, 0.9928, 0.9928),
    "k2": (0.9761, 0.9262, 0.9971, 0.9635),
    "k3": (0.9740, 0.8795, 0.9899, 0.9404),
}


def kl_loss_gradient(name: str, aggregate: str, old: Tensor) -> Tensor:
    """Of the shipped loss, expected over the answers of the policy with these log-probs."""
    at = AnswerLogprobs(LOGPROBS, old, REF, MASK)
    total, _ = aggregations(1)[aggregate](old.sum(1).exp()[:, None] * KL_LOSSES[name](at), MASK)
    return gradient(total)


def test_all_that_ships_is_here() -> None:
    assert SHIPPED.keys() == KL_LOSSES.keys()


@pytest.mark.parametrize("name", SHIPPED)
def test_which_kl_losses_are_near(name: str) -> None:
    """Those of tokens miss what a token does to the KL of the tokens after it; k2 of sequences has
    no importance weight; averaging over an answer's tokens favours short ones.
    """
    on, off, on_averaged, off_averaged = SHIPPED[name]
    current, old = LOGPROBS.detach(), token_logprobs(OLD)
    for aggregate in ("token", "constant"):
        assert cosine(kl_loss_gradient(name, aggregate, current)) == pytest.approx(on, abs=1e-4)
        assert cosine(kl_loss_gradient(name, aggregate, old)) == pytest.approx(off, abs=1e-4)
    averaged = [cosine(kl_loss_gradient(name, "sequence", by)) for by in (current, old)]
    assert averaged == pytest.approx([on_averaged, off_averaged], abs=1e-4)


def test_the_exact_ones_are_exact_in_size_too() -> None:
    current, old = LOGPROBS.detach(), token_logprobs(OLD)
    for name, by in [("k2_sequence", current), ("k3_sequence", current), ("k3_sequence", old)]:
        torch.testing.assert_close(kl_loss_gradient(name, "constant", by), true_gradient())


def groups_gradient(
    baseline: Others, score: Tensor, *, kl_coef: float, aggregate: str = "constant"
) -> Tensor:
    """Expected over all groups of answers: what RLOO and GRPO do with KL in the reward."""
    size = baseline.group
    picks = torch.cartesian_prod(*[torch.arange(len(ANSWERS))] * size).view(-1, size)
    chance = PROBABILITY[picks].prod(1).repeat_interleave(size)
    rows = picks.flatten()
    logprobs, mask, scores = LOGPROBS[rows], MASK[rows], score[rows]
    kl = k1(logprobs.detach(), REF[rows])
    seen = Experience(
        sequences=Sequences(IDS[rows], torch.ones_like(mask), mask),
        logprobs=logprobs.detach(),
        ref_logprobs=REF[rows],
        kl=kl,
        scores=scores,
        proxy=scores,
    )
    found = baseline.advantages(seen, token_rewards(scores, kl, mask, kl_coef=kl_coef))
    loss = ppo_clip(
        logprobs,
        logprobs.detach(),
        chance[:, None] * found.advantages / size,
        mask,
        clip_low=0.2,
        clip_high=0.2,
        aggregate=aggregations(1)[aggregate],
    )
    return gradient(loss[0].total)


GROUPED = [rloo(2), rloo(3), grpo(2, std=True), grpo(3, std=False)]
SCORES = torch.tensor([1.0, 0.0, 2.0, -1.0, 0.5, 0.0, 3.0], dtype=torch.float64)


@pytest.mark.parametrize("baseline", GROUPED)
def test_kl_in_the_reward_without_a_critic_is_the_exact_gradient(baseline: Others) -> None:
    """Whatever the estimate does to the scores: KL has a baseline of its own."""
    found = groups_gradient(baseline, torch.zeros_like(SCORES), kl_coef=1.0)
    torch.testing.assert_close(found, true_gradient())
    averaged = groups_gradient(
        baseline, torch.zeros_like(SCORES), kl_coef=1.0, aggregate="sequence"
    )
    assert cosine(averaged) == pytest.approx(0.9743, abs=1e-4)


def test_leave_one_out_is_unbiased_and_the_groups_mean_shrinks_it() -> None:
    """E[RLOO] is the gradient of the expected score; the group's mean gives (G - 1) / G of it."""
    true = gradient(-(LOGPROBS.sum(1).exp() * SCORES).sum())
    for size in (2, 3):
        torch.testing.assert_close(groups_gradient(rloo(size), SCORES, kl_coef=0.0), true)
        centred = groups_gradient(grpo(size, std=False), SCORES, kl_coef=0.0)
        torch.testing.assert_close(centred, (size - 1) / size * true)
    standardised = groups_gradient(grpo(3, std=True), SCORES, kl_coef=0.0)
    assert cosine_similarity(standardised, true, dim=0).item() == pytest.approx(0.9744, abs=1e-4)


def test_k1_as_a_loss_does_nothing() -> None:
    loss = (PROBABILITY[:, None] * torch.where(MASK, k1(LOGPROBS, REF), 0.0)).sum()
    assert gradient(loss).norm().item() == pytest.approx(0, abs=1e-12)


def test_k2_of_the_whole_answer_as_a_loss_is_exact() -> None:
    loss = (PROBABILITY * k2(LOGPROBS.sum(1), REF.sum(1))).sum()
    torch.testing.assert_close(gradient(loss), true_gradient())


def test_a_larger_coefficient_pulls_harder_towards_the_reference() -> None:
    """A step along the loss's descent lowers the KL: the sign, end to end."""
    zero = torch.zeros(len(ANSWERS), 2, dtype=torch.float64)
    advantages, _ = gae(rewards(0.5), zero, MASK, gamma=1.0, lam=1.0)
    descent = policy_gradient(advantages)
    torch.testing.assert_close(descent, 0.5 * true_gradient())

    def kl(logits: Tensor) -> float:
        logprob = token_logprobs(logits).sum(1)
        return (logprob.exp() * (logprob - REF.sum(1))).sum().item()

    assert kl(POLICY - 0.1 * descent.view_as(POLICY)) < kl(POLICY)
