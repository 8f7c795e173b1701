"""What a policy gained by its own reward, beside what it gained."""

from __future__ import annotations

import pytest

from heed.evaluation.measures import Samples
from heed.evaluation.proxy_gap import proxy_gap
from heed.types import Completion, Prompt

ANSWERS = [Completion(Prompt.of(name), "x") for name in "abcd"]


def samples(*gold: float) -> Samples:
    return Samples(ANSWERS, {"gold": gold})


def test_by_hand() -> None:
    # The reference: proxy 0, 2, 0, 2 (sd 1), gold 0, 0, 4, 4 (sd 2).
    found = proxy_gap(samples(2, 2, 6, 6), [3, 5, 3, 5], samples(0, 0, 4, 4), [0, 2, 0, 2])
    assert found["proxy_gain"].mean == pytest.approx(3.0)
    assert found["gold_gain"].mean == pytest.approx(1.0)
    assert found["gap"].mean == pytest.approx(2.0)
    assert found["gap"].low == pytest.approx(2.0)  # the same for every prompt
    assert found["gap"].n == 4


def test_the_reference_itself_and_a_reward_that_is_gold_leave_no_gap() -> None:
    reference = samples(0, 1, 2, 5)
    same = proxy_gap(reference, [1, 0, 3, 2], reference, [1, 0, 3, 2])
    assert {name: each.mean for name, each in same.items()} == pytest.approx(
        {"proxy_gain": 0, "gold_gain": 0, "gap": 0}
    )
    better = samples(3, 4, 9, 9)
    honest = proxy_gap(better, [7, 9, 19, 19], reference, [1, 3, 5, 11])  # 2 gold + 1
    assert honest["gap"].mean == pytest.approx(0.0)
    assert honest["gap"].high == pytest.approx(0.0)


def test_without_a_spread_there_is_no_scale() -> None:
    with pytest.raises(ValueError, match="all worth the same"):
        proxy_gap(samples(1, 2, 3, 4), [1, 2, 3, 4], samples(1, 1, 1, 1), [1, 2, 3, 4])
