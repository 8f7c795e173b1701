from __future__ import annotations

import math

import numpy as np
import pytest

from heed.stats.calibration import calibration


def test_by_hand() -> None:
    # Two bins: .2 and .4 with one right of two, .8 and 1 with both.
    found = calibration([0.2, 0.4, 0.8, 1.0], [False, True, True, True], bins=2)
    assert [each.confidence for each in found.bins] == pytest.approx([0.3, 0.9])
    assert [each.right.mean for each in found.bins] == [0.5, 1.0]
    assert found.error.mean == pytest.approx((0.2 + 0.1) / 2)
    assert found.brier.mean == pytest.approx((0.04 + 0.36 + 0.04 + 0) / 4)
    assert found.excess.mean == pytest.approx(0.6 - 0.75)


def test_equal_confidences_stand_in_one_bin() -> None:
    found = calibration([1.0] * 30 + [0.0] * 2, [True] * 15 + [False] * 17, bins=10)
    assert [(each.confidence, each.right.n) for each in found.bins] == [(0.0, 2), (1.0, 30)]
    assert found.error.mean == pytest.approx(15 / 32)


def test_who_knows_everything_errs_in_nothing() -> None:
    found = calibration([1.0, 0.0, 1.0], [True, False, True])
    assert found.error.mean == found.brier.mean == found.excess.mean == 0


def test_what_cannot_be() -> None:
    assert math.isnan(calibration([], []).error.mean)
    with pytest.raises(ValueError, match="1 confidences, but 2 cases"):
        calibration([1.0], [True, False])
    with pytest.raises(ValueError, match="a confidence is"):
        calibration([1.5], [True])


def test_covers_the_truth_where_confidence_is_wrong() -> None:
    """Sixty prompts of five answers; right as often as .6 c, so that the error is .4 c on average.

    Confidence is the prompt's, so that answers to one prompt go together.
    """
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(60), 5).tolist()
    error = brier = 0
    true_brier = 0.16 / 3 + (0.3 - 0.12)  # mean (.4 c)^2, and mean .6 c (1 - .6 c)
    for _ in range(500):
        c = np.repeat(rng.random(60), 5)
        right = rng.random(300) < 0.6 * c
        found = calibration(c.tolist(), right.tolist(), clusters, bins=5)
        error += found.error.low <= 0.2 <= found.error.high
        brier += found.brier.low <= true_brier <= found.brier.high
    assert 0.92 <= error / 500 <= 0.98
    assert 0.93 <= brier / 500 <= 0.97
