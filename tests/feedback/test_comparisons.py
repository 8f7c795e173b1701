"""What a verdict is worth in training."""

from __future__ import annotations

import pytest

from heed.feedback.comparisons import comparisons, strength
from heed.types import Annotation, Pair, Prompt

PAIRS = {"p": Pair("p", Prompt.of("what now?"), "the left", "the right", "a", "b")}


@pytest.mark.parametrize(
    ("grade", "left_wins", "margin"),
    [
        (1, True, 1.0),
        (2, True, 2 / 3),
        (3, True, 1 / 3),
        (4, True, 0.0),
        (5, False, 0.0),
        (6, False, 1 / 3),
        (7, False, 2 / 3),
        (8, False, 1.0),
    ],
)
def test_a_grade_becomes_a_side_and_a_margin(grade: int, left_wins: bool, margin: float) -> None:
    (made,) = comparisons([Annotation("p", "Ada", grade)], PAIRS)
    sides = ("the left", "the right") if left_wins else ("the right", "the left")
    assert (made.chosen, made.rejected) == sides
    assert made.margin == margin
    assert (made.weight, made.annotator, made.prompt) == (1.0, "Ada", PAIRS["p"].prompt)


def test_strength_mirrors() -> None:
    assert [strength(grade) for grade in range(1, 9)] == [1, 2, 3, 4, 4, 3, 2, 1]


def test_verdicts_without_a_side_are_dropped() -> None:
    said = [Annotation("p", "Ada", verdict) for verdict in ("tie", "both_bad", "cannot_tell", 8)]
    assert [made.chosen for made in comparisons(said, PAIRS)] == ["the right"]
    assert comparisons([], PAIRS) == []
