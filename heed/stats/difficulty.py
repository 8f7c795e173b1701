"""How hard it is to beat the baseline on each item, from the contests of several models.

Dubois et al. 2024 (arXiv:2404.04475) fit item difficulties once, jointly over models,
before each model's own regression.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit

from heed.stats.bootstrap import Array
from heed.stats.contests import Contest
from heed.stats.logistic import climb

DIFFICULTIES = 2.0
"""Standard deviation of the normal prior on item difficulties, in logits."""
WEAK = 5.0
"""Of the prior on everything else: it only keeps finite what the data leave unbounded."""


def fit_difficulty(contests: Mapping[str, Contest]) -> dict[Hashable, float]:
    """gamma of every item x, higher where models do better against the baseline, by

        P(model m wins on x) = sigmoid(theta_m + sum_k phi_k tanh(d_k / sd(d_k)) + gamma_x)

    One theta a model, one phi a difference, one gamma an item (their psi is 1 for all models),
    with normal priors: gamma ~ N(0, DIFFICULTIES^2), the rest ~ N(0, WEAK^2). The Hessian's block
    of items is diagonal, so a step costs models^2 x items.

    Raises:
        ValueError: models differ in what differences they have.
    """
    names = next(iter(contests.values())).differences
    if any(set(each.differences) != set(names) for each in contests.values()):
        raise ValueError("every contest needs the same differences")
    numbers: dict[Hashable, int] = {}
    item = np.array(
        [numbers.setdefault(x, len(numbers)) for each in contests.values() for x in each.items],
        dtype=np.int64,
    )
    ones = sparse.block_diag([np.ones((len(each.wins), 1)) for each in contests.values()])
    bounded = np.concatenate([each.bounded(names) for each in contests.values()])
    design = sparse.csr_array(sparse.hstack([ones, bounded]))
    wins = np.concatenate([each.wins for each in contests.values()])
    gamma = _maximum(design, item, len(numbers), wins)
    return dict(zip(numbers, gamma.tolist(), strict=True))


def _maximum(design: sparse.csr_array, item: NDArray[np.int64], items: int, wins: Array) -> Array:
    """gamma at the maximum of the posterior."""
    rows, width = design.shape
    prior = np.concatenate([np.full(width, WEAK**-2), np.full(items, DIFFICULTIES**-2)])
    gather = sparse.csr_array((np.ones(rows), (item, np.arange(rows))), shape=(items, rows))

    def value(b: Array) -> float:
        x = design @ b[:width] + b[width:][item]
        return float((wins * x - np.logaddexp(0, x)).sum() - prior @ b**2 / 2)

    def pull(b: Array) -> tuple[Array, Array]:
        p = expit(design @ b[:width] + b[width:][item])
        gradient = np.concatenate([design.T @ (wins - p), gather @ (wins - p)]) - prior * b
        spread = sparse.diags_array(p * (1 - p)) @ design
        corner = (design.T @ spread).toarray() + np.diag(prior[:width])
        side = (gather @ spread).toarray()
        diagonal = gather @ (p * (1 - p)) + prior[width:]
        scaled = side / diagonal[:, None]  # eliminate the items: Schur's complement
        upper = np.linalg.solve(
            corner - side.T @ scaled, gradient[:width] - scaled.T @ gradient[width:]
        )
        return gradient, np.concatenate([upper, gradient[width:] / diagonal - scaled @ upper])

    return climb(np.zeros(width + items), value, pull)[width:]
