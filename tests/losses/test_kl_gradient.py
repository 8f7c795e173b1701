"""Which way of holding a policy near its reference follows the gradient of KL(policy || reference)?

A model of two-token answers is small enough to enumerate: three tokens, the first of which ends an
answer, so that answers have one or two tokens. Every expectation is exact, and so is the gradient
that an estimator is held against.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, log_softmax

from heed.losses.policy import ppo_clip
from heed.ops.advantages import gae, token_rewards
from heed.ops.kl import k1, k2, k3
from heed.ops.masked import whiten

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


@pytest.mark.parametrize(("estimator", "want"), [(k2, 0.9761), (k3, 0.9740)])
def test_estimators_as_token_losses_are_near_but_not_it(
    estimator: Callable[[Tensor, Tensor], Tensor], want: float
) -> None:
    """They miss what a token does to the KL of the tokens after it."""
    loss = (PROBABILITY[:, None] * torch.where(MASK, estimator(LOGPROBS, REF), 0.0)).sum()
    assert cosine(gradient(loss)) == pytest.approx(want, abs=1e-4)


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
