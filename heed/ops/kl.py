"""Per-token estimators of KL(policy || reference), for tokens sampled from the policy.

John Schulman, "Approximating KL divergence" (2020): with r = ref(x) / policy(x), x ~ policy. As
numbers k1 and k3 are unbiased and k2 is nearly so. As losses they are something else: k1 has no
gradient in expectation, k2 and k3 of tokens point only near KL's (cosines .976 and .974 on the
model of tests/losses/test_kl_gradient.py). k1 in the reward, with rewards to go, follows it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def k1(
    logprob: Float[Tensor, "*shape"], ref_logprob: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """-log r: unbiased, of high variance, negative for some tokens."""
    return logprob - ref_logprob


def k2(
    logprob: Float[Tensor, "*shape"], ref_logprob: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """(log r)^2 / 2: never negative, of low variance, biased where the two are far apart."""
    return (logprob - ref_logprob).square() / 2


def k3(
    logprob: Float[Tensor, "*shape"], ref_logprob: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """(r - 1) - log r: never negative, of low variance, unbiased."""
    log_ratio = ref_logprob - logprob
    return torch.expm1(log_ratio) - log_ratio
