"""Best-of-n for every n at once, from N answers to each prompt.

Of n answers drawn without replacement from N, the i-th lowest by the proxy is the best with
probability

    w_n(i) = C(i - 1, n - 1) / C(N, n)

so that sum_i w_n(i) v_(i) is what a value v of the best of n is worth on average, without bias, and
one draw of N answers serves every n <= N (Nakano et al. 2021, arXiv:2112.09332, section 3; Gao et
al. 2022, arXiv:2210.10760, section 2.1). Answers that the proxy cannot tell apart share the mean of
their values: one of them is chosen by chance.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def rank_weights(N: int) -> Array:
    """[n - 1, i - 1]: the probability that the i-th lowest of N is the best of n of them."""
    return np.array(
        [[math.comb(i - 1, n - 1) / math.comb(N, n) for i in range(1, N + 1)]
         for n in range(1, N + 1)]
    )  # fmt: skip


def best_of_n(proxy: Array, values: Array) -> Array:
    """What the best of n by the proxy is worth on average, prompt by prompt.

    Args:
        proxy: scores of N answers to each of P prompts, [P, N].
        values: what is asked about, [P, N]: the scores themselves, or the gold reward.

    Returns:
        [P, n - 1], n = 1 ... N.

    Raises:
        ValueError: the two differ in shape.
    """
    if proxy.shape != values.shape or proxy.ndim != 2:
        raise ValueError(f"proxy {proxy.shape} and values {values.shape} are not [P, N] alike")
    order = np.argsort(proxy, axis=1, kind="stable")
    ranked = np.take_along_axis(proxy, order, axis=1)
    shared = _group_means(ranked, np.take_along_axis(values, order, axis=1))
    curves: Array = shared @ rank_weights(proxy.shape[1]).T
    return curves


def kl_bound(n: int) -> float:
    """log n - (n - 1) / n: what KL(best of n || policy) is at most, in nats.

    Stiennon et al. 2020 gave it as the KL; Beirami et al. 2024 (arXiv:2401.01879), theorem 1, show
    that it bounds it from above, and is far from it where one answer is likely.
    """
    return math.log(n) - (n - 1) / n


def _group_means(ranked: Array, values: Array) -> Array:
    """Each value replaced by the mean of those whose rank it shares, row by row."""
    new = np.ones(ranked.shape, dtype=bool)
    new[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    group = np.cumsum(new.ravel()) - 1  # a row's first answer always begins a group
    means = np.bincount(group, weights=values.ravel()) / np.bincount(group)
    shared: Array = means[group].reshape(values.shape)
    return shared
