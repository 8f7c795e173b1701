"""What a verdict, a ranking and a rewrite are worth in training."""

from __future__ import annotations

import pytest

from heed.data.comparisons import (
    comparisons,
    each_by_itself,
    rewrites,
    strength,
    undesirable,
)
from heed.types import Annotation, Demonstration, Item, Prompt, Unpaired, Verdict

PROMPT = Prompt.of("what now?")
ITEMS = {
    "two": Item("two", PROMPT, ("the left", "the right"), ("a", "b")),
    "three": Item("three", PROMPT, ("x", "y", "z")),
}


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
    (made,) = comparisons([Annotation("two", "Ada", grade, source="people")], ITEMS)
    sides = ("the left", "the right") if left_wins else ("the right", "the left")
    assert (made.chosen, made.rejected) == sides
    assert made.margin == margin
    assert (made.weight, made.annotator, made.source) == (1.0, "Ada", "people")
    assert made.prompt == PROMPT


def test_a_grade_is_of_the_sides_as_shown() -> None:
    (made,) = comparisons([Annotation("two", "Ada", 1, order=(1, 0))], ITEMS)
    assert (made.chosen, made.rejected) == ("the right", "the left")


def test_strength_mirrors() -> None:
    assert [strength(grade) for grade in range(1, 9)] == [1, 2, 3, 4, 4, 3, 2, 1]


def test_verdicts_without_a_side_are_dropped() -> None:
    said = [Annotation("two", "Ada", verdict) for verdict in ("tie", "both_bad", "cannot_tell", 8)]
    assert [made.chosen for made in comparisons(said, ITEMS)] == ["the right"]
    assert comparisons([], ITEMS) == []


def test_a_tie_may_be_half_a_win_each() -> None:
    said = [Annotation("two", "Ada", verdict) for verdict in ("tie", "both_bad", "cannot_tell")]
    made = comparisons(said, ITEMS, ties="half")
    assert [(each.chosen, each.weight, each.margin) for each in made] == [
        ("the left", 0.5, 0.0),
        ("the right", 0.5, 0.0),
    ]


@pytest.mark.parametrize(
    ("verdict", "order", "expected"),
    [
        ((2, 1, 3), (0, 1, 2), ["yx", "xz", "yz"]),
        ((2, 1, 3), (2, 0, 1), ["xy", "xz", "zy"]),
        ((1, 1, 2), (0, 1, 2), ["xz", "yz"]),
        ((1, 1, 1), (0, 1, 2), []),
    ],
)
def test_a_ranking_makes_a_comparison_of_each_pair(
    verdict: Verdict, order: tuple[int, ...], expected: list[str]
) -> None:
    said = Annotation("three", "Ada", verdict, order=order)
    made = comparisons([said], ITEMS)
    assert sorted(each.chosen + each.rejected for each in made) == sorted(expected)
    assert all(each.weight == pytest.approx(1 / 3) for each in made)
    shared = comparisons([said], ITEMS, ties="half")
    assert sum(each.weight for each in shared) == pytest.approx(1.0)


def test_weights_by_annotator() -> None:
    said = [Annotation("two", name, 1) for name in ("Ada", "Amir", "Bella")]
    made = comparisons(said, ITEMS, weights={"Ada": 2.5, "Amir": 0.0})
    assert [(each.annotator, each.weight) for each in made] == [("Ada", 2.5), ("Bella", 1.0)]


def test_rewrites_are_demonstrations() -> None:
    said = [Annotation("two", "Ada", 1, rewrite="better"), Annotation("two", "Amir", 1)]
    assert rewrites(said, ITEMS) == [Demonstration(PROMPT, "better")]


def test_answers_that_are_all_bad_are_undesirable_each() -> None:
    """One annotation weighs as much as one that compares: 2 over all its answers."""
    said = [
        Annotation("two", "Ada", "both_bad", source="people"),
        Annotation("three", "Ben", "both_bad", order=(2, 0, 1)),
        Annotation("two", "Cy", 1),
        Annotation("two", "Di", "tie"),
        Annotation("two", "Ed", "cannot_tell"),
        Annotation("two", "Flo", "both_bad"),
    ]
    assert undesirable(said, ITEMS, weights={"Ben": 0.5, "Flo": 0.0}) == [
        Unpaired(PROMPT, "the left", False, 1.0, "Ada", "people"),
        Unpaired(PROMPT, "the right", False, 1.0, "Ada", "people"),
        *(Unpaired(PROMPT, text, False, 2 / 3 * 0.5, "Ben") for text in "xyz"),
    ]
    assert len(undesirable(said, ITEMS)) == 2 + 3 + 2


def test_both_answers_of_a_comparison_by_themselves() -> None:
    said = [Annotation("two", "Ada", 7), Annotation("two", "Ben", 2)]
    made = comparisons(said, ITEMS, weights={"Ada": 0.5})
    assert each_by_itself(made) == [
        Unpaired(PROMPT, "the right", True, 0.5, "Ada"),
        Unpaired(PROMPT, "the left", True, 1.0, "Ben"),
        Unpaired(PROMPT, "the left", False, 0.5, "Ada"),
        Unpaired(PROMPT, "the right", False, 1.0, "Ben"),
    ]
    ranked = comparisons([Annotation("three", "Ada", (1, 2, 3), order=(0, 1, 2))], ITEMS)
    assert sum(item.weight for item in each_by_itself(ranked)) == pytest.approx(2)
