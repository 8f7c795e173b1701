"""The KL coefficient, by hand numbers of Ziegler et al.'s rule."""

from __future__ import annotations

import pytest

from heed.policies.kl_control import KlController


@pytest.mark.parametrize(
    ("kl", "factor"),
    [
        (6.0, 1.0),  # on target
        (6.6, 1 + 0.1 * 128 / 10_000),
        (5.7, 1 - 0.05 * 128 / 10_000),
        (60.0, 1 + 0.2 * 128 / 10_000),  # clipped
        (0.0, 1 - 0.2 * 128 / 10_000),
        (-3.0, 1 - 0.2 * 128 / 10_000),
    ],
)
def test_the_coefficient_moves_to_its_target(kl: float, factor: float) -> None:
    controller = KlController(0.15, target=6.0)
    controller.update(kl, 128)
    assert controller.coef == pytest.approx(0.15 * factor, rel=1e-12)


def test_the_horizon_sets_the_pace() -> None:
    controller = KlController(0.1, target=2.0, horizon=100)
    controller.update(4.0, 50)
    assert controller.coef == pytest.approx(0.1 * 1.1)
    controller.update(4.0, 50)
    assert controller.coef == pytest.approx(0.1 * 1.1**2)


def test_without_a_target_it_stays() -> None:
    controller = KlController(0.15)
    controller.update(60.0, 128)
    assert controller.coef == 0.15
