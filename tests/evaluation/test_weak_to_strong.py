from __future__ import annotations

import pytest

from heed.evaluation.weak_to_strong import gap_recovered

PROMPTS = [f"prompt {number % 20}" for number in range(40)]


def right(share: float) -> list[float]:
    """So many of forty comparisons are right, the first ones."""
    return [float(number < 40 * share) for number in range(40)]


def test_by_hand() -> None:
    found = gap_recovered(right(0.6), right(0.7), right(0.8), PROMPTS)
    assert found is not None
    assert found.mean == pytest.approx(0.5)  # (.7 - .6) / (.8 - .6)
    assert found.low < 0.5 < found.high


@pytest.mark.parametrize(("student", "share"), [(0.6, 0.0), (0.8, 1.0), (0.9, 1.5), (0.5, -0.5)])
def test_from_the_supervisor_to_the_ceiling_and_beyond(student: float, share: float) -> None:
    found = gap_recovered(right(0.6), right(student), right(0.8), PROMPTS)
    assert found is not None
    assert found.mean == pytest.approx(share)


@pytest.mark.parametrize("ceiling", [0.6, 0.5])
def test_without_a_gap_there_is_no_share_of_it(ceiling: float) -> None:
    assert gap_recovered(right(0.6), right(0.9), right(ceiling), PROMPTS) is None
