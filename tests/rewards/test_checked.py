"""What is no number never becomes a score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from answered import said

from heed.errors import UserError
from heed.rewards.checked import CheckedReward
from heed.types import Completion

ANSWERS = [said("good"), said("odd"), said("bad")]


def scores(*values: Any) -> Any:
    return CheckedReward("mine", lambda completions: list(values))(ANSWERS)


def test_scores_pass_and_0_is_one() -> None:
    found = scores(0, -0.0, np.float32(2.5))
    assert found == [0.0, 0.0, 2.5]
    assert all(type(score) is float for score in found)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "1", np.float64("nan")])
def test_what_is_no_number_names_its_answer(value: Any) -> None:
    with pytest.raises(UserError, match=r"'mine' gave .*'id of how much \?', answer 'odd'"):
        scores(1.0, value, 2.0)


def test_a_score_an_answer() -> None:
    with pytest.raises(UserError, match="gave 2 scores for 3 answers"):
        scores(1.0, 2.0)


def test_an_exception_names_the_answer_that_raised_it() -> None:
    def fails(completions: Sequence[Completion]) -> list[float]:
        return [1 / (each.text != "odd") for each in completions]

    with pytest.raises(UserError, match=r"raised ZeroDivisionError: .*answer 'odd'") as caught:
        CheckedReward("mine", fails)(ANSWERS)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_an_exception_of_the_batch_alone() -> None:
    def fails(completions: Sequence[Completion]) -> list[float]:
        if len(completions) > 1:
            raise RuntimeError("too many")
        return [0.0]

    with pytest.raises(UserError, match=r"raised RuntimeError: too many.* 3 answers together"):
        CheckedReward("mine", fails)(ANSWERS)


def test_a_users_mistake_stays_as_it_is() -> None:
    def fails(completions: Sequence[Completion]) -> list[float]:
        raise UserError("No answer is known.")

    with pytest.raises(UserError, match=r"^No answer is known\.$"):
        CheckedReward("mine", fails)(ANSWERS)
