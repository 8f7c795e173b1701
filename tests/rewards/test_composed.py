"""Rewards made of rewards."""

from __future__ import annotations

from collections.abc import Sequence

from answered import said

from heed.rewards.composed import Gate, WeightedSum
from heed.types import Completion

ANSWERS = [said("a"), said("bb"), said("cccc")]


def length(completions: Sequence[Completion]) -> list[float]:
    return [float(len(each.text)) for each in completions]


def has_b(completions: Sequence[Completion]) -> list[float]:
    return [float("b" in each.text) for each in completions]


def test_a_weighted_sum() -> None:
    both = WeightedSum({"length": (0.5, length), "b": (-2.0, has_b)})
    assert both(ANSWERS) == [0.5, -1.0, 2.0]
    assert WeightedSum({"length": (1.0, length)})(ANSWERS) == length(ANSWERS)


def test_a_gate_opens_at_its_threshold() -> None:
    assert Gate(has_b, length, threshold=2.0, closed=-9.0)(ANSWERS) == [-9.0, 1.0, 0.0]


def test_only_what_passes_the_gate_is_scored() -> None:
    asked: list[str] = []

    def notes(completions: Sequence[Completion]) -> list[float]:
        asked.extend(each.text for each in completions)
        return length(completions)

    assert Gate(notes, has_b, threshold=1.0, closed=0.0)(ANSWERS) == [0.0, 2.0, 0.0]
    assert asked == ["bb"]
    assert Gate(notes, has_b, threshold=2.0, closed=-1.0)(ANSWERS) == [-1.0] * 3
    assert asked == ["bb"]
