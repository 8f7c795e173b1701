"""Iambic pentameter, by lines that were scanned by hand."""

from __future__ import annotations

import pytest
from answered import said

from heed.rewards.metre import line_metre, metre, metrical
from heed.rewards.pronouncing import stresses

PERFECT = [  # Shakespeare: sonnets 18, 12, 116; Romeo and Juliet II.2
    "Shall I compare thee to a summer's day?",
    "Rough winds do shake the darling buds of May,",
    "And summer's lease hath all too short a date:",
    "When I do count the clock that tells the time,",
    "So long lives this, and this gives life to thee.",
    "But soft, what light through yonder window breaks?",
    "Let me not to the marriage of true minds",
]


@pytest.mark.parametrize("line", PERFECT)
def test_perfect_lines(line: str) -> None:
    assert line_metre(line) == 1.0


def test_a_feminine_ending_is_perfect() -> None:
    assert line_metre("To be, or not to be, that is the question:") == 1.0


@pytest.mark.parametrize(
    ("line", "right", "syllables"),
    [
        # TEM-per-ate, DIG-ni-ty: the last syllable takes a stress that the dictionary denies it.
        ("Thou art more lovely and more temperate:", 9, 10),
        ("Two households, both alike in dignity,", 9, 10),
        # HID-e-ous, which the poet runs into two: "night" stands eleventh, and free.
        ("And see the brave day sunk in hideous night;", 10, 11),
        # SOFT-ly and SIL-ver begin on odd places, SING-ing on an even one.
        ("Softly the silver moon is singing now", 8, 10),
        ("The moon", 2, 10),
        ("", 0, 10),
        ("?!", 0, 10),
    ],
)
def test_lines_that_fall_short(line: str, right: int, syllables: int) -> None:
    assert line_metre(line) == pytest.approx(right / syllables)


def test_a_trochaic_line_is_far_from_it() -> None:
    assert line_metre("Once upon a midnight dreary, while I pondered, weak and weary") < 0.5


def test_what_nobody_can_pronounce_does_not_scan() -> None:
    assert line_metre("Shall I compare thee to a qwrtz's day?") == 0.0


def test_a_weak_stress_may_fall_anywhere() -> None:
    assert stresses()["lighthouse"] == ("12",)
    assert line_metre("the lighthouse") == 3 / 10
    assert line_metre("lighthouse") == 1 / 10


def test_of_two_pronunciations_the_better_one_counts() -> None:
    assert stresses()["record"] == ("01", "10")
    assert line_metre("record") == 2 / 10
    assert line_metre("the record") == 3 / 10


def test_several_lines_are_meaned_and_empty_ones_left_out() -> None:
    assert metre(f"{PERFECT[0]}\n\n{PERFECT[1]}\n") == 1.0
    assert metre(f"{PERFECT[0]}\nThe moon") == pytest.approx(0.6)
    assert metre(" \n") == 0.0


def test_whole_lines_or_shares() -> None:
    answers = [said(PERFECT[0]), said("The moon")]
    assert [metrical(whole=False)(each) for each in answers] == [1.0, 0.2]
    assert [metrical(whole=True)(each) for each in answers] == [1.0, 0.0]
