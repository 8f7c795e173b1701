"""Logistic regression on soft labels, by regularised maximum likelihood and Newton's method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from heed.stats.bootstrap import Array

ITERATIONS = 100
LEAP = 5.0
"""No coefficient moves further in one step: far out, where every p is 0 or 1, steps are wild."""


@dataclass(frozen=True)
class Fit:
    """The coefficients b, the inverse of -(d^2 L / db^2), and dL_i / db of every row."""

    coefficients: Array
    inverse: Array
    scores: Array


def fit_logistic(design: Array, labels: Array, precision: Array, centre: Array) -> Fit:
    """The b that maximises, with p = sigmoid(X b) and labels y in [0, 1],

        L(b) = sum_i [y_i log p_i + (1 - y_i) log(1 - p_i)] - sum_k l_k (b_k - c_k)^2 / 2

    that is, with a normal prior of precision l_k about c_k on each coefficient.

    Raises:
        ValueError: columns without a prior determine each other.
    """

    def value(b: Array) -> float:
        x, away = design @ b, b - centre
        return float((labels * x - np.logaddexp(0, x)).sum() - precision @ away**2 / 2)

    def pull(b: Array) -> tuple[Array, Array]:
        residual = labels - expit(design @ b)
        gradient = design.T @ residual - precision * (b - centre)
        return gradient, _inverse(design, b, precision) @ gradient

    b = climb(centre, value, pull)
    residual = labels - expit(design @ b)
    return Fit(b, _inverse(design, b, precision), design * residual[:, None])


def climb(
    start: Array, value: Callable[[Array], float], pull: Callable[[Array], tuple[Array, Array]]
) -> Array:
    """Where a concave function is highest, by Newton's steps, halved until they lead upward.

    Args:
        start: where to begin.
        value: the function.
        pull: its gradient and Newton's step.

    Raises:
        ValueError: no maximum is found.
    """
    at = start
    for _ in range(ITERATIONS):
        gradient, step = pull(at)
        if gradient @ step < 1e-16:
            return at
        step = step * min(1.0, LEAP / float(np.abs(step).max()))
        here = value(at)
        while value(at + step) < here - 1e-12 * abs(here) and np.abs(step).max() > 1e-12:
            step = step / 2
        at = at + step
    raise ValueError(f"no maximum found in {ITERATIONS} steps: it lies at infinity")


def _inverse(design: Array, b: Array, precision: Array) -> Array:
    p = expit(design @ b)
    hessian = (design.T * (p * (1 - p))) @ design + np.diag(precision)
    try:
        inverse: Array = np.linalg.inv(hessian)
    except np.linalg.LinAlgError as error:
        raise ValueError("columns of the regression determine each other") from error
    return inverse
