from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from heed.stats.logistic import climb, fit_logistic


def test_a_lone_constant_is_the_log_odds() -> None:
    fit = fit_logistic(np.ones((4, 1)), np.array([1, 1, 0.5, 0.5]), np.zeros(1), np.zeros(1))
    assert fit.coefficients[0] == pytest.approx(np.log(3))
    assert fit.inverse[0, 0] == pytest.approx(1 / (4 * 3 / 16))
    assert fit.scores[:, 0] == pytest.approx([0.25, 0.25, -0.25, -0.25])


def test_the_maximum_is_scipys() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), rng.random(40)
    precision, centre = np.array([0.0, 0.5, 20.0]), np.array([0.0, 1.0, -2.0])

    def loss(b: np.ndarray) -> float:
        x = X @ b
        return float((np.logaddexp(0, x) - y * x).sum() + precision @ (b - centre) ** 2 / 2)

    fit = fit_logistic(X, y, precision, centre)
    assert fit.coefficients == pytest.approx(optimize.minimize(loss, centre).x, abs=1e-4)
    pull = precision * (fit.coefficients - centre)
    assert fit.scores.sum(axis=0) == pytest.approx(pull, abs=1e-8)


def test_a_prior_keeps_finite_what_the_labels_do_not() -> None:
    X = np.array([[1.0], [2.0], [-1.0]])
    y = np.array([1.0, 1.0, 0.0])
    assert 1 < fit_logistic(X, y, np.array([0.01]), np.zeros(1)).coefficients[0] < 20
    far = [
        fit_logistic(X, y, np.array([0.01]), np.array([centre])).coefficients[0]
        for centre in (-80.0, -79.0)
    ]
    assert far[0] == pytest.approx(far[1], abs=1)


def test_a_maximum_that_whole_newton_steps_would_leap_over() -> None:
    fit = fit_logistic(np.full((4, 1), 10.0), np.full(4, 0.5), np.array([1e-9]), np.array([-1.0]))
    assert fit.coefficients[0] == pytest.approx(0, abs=1e-6)


def test_what_has_no_maximum() -> None:
    y = np.array([1.0, 1.0, 0.0])
    with pytest.raises(ValueError, match="each other"):
        fit_logistic(np.zeros((3, 1)), y, np.zeros(1), np.zeros(1))
    with pytest.raises(ValueError, match="at infinity"):
        climb(np.zeros(1), lambda b: float(b[0]), lambda b: (np.ones(1), np.ones(1)))
