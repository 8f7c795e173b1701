"""Measures of samples, over all, by family, and between policies."""

from __future__ import annotations

import math

import pytest

from heed.evaluation.measures import Samples, gap
from heed.types import Completion, Prompt

A = Prompt.of("a", family="facts")
B = Prompt.of("b", family="facts")
C = Prompt.of("c", family="verse")


@pytest.fixture
def samples() -> Samples:
    texts = ["one two", "one two", "three", "four five", "six", "six six"]
    prompts = [A, A, B, B, C, C]
    completions = [Completion(p, text) for p, text in zip(prompts, texts, strict=True)]
    values = {"gold": [1.0, 3.0, 0.0, 2.0, -1.0, 1.0], "rude": [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]}
    return Samples(completions, values)


def test_means_and_diversity(samples: Samples) -> None:
    found = samples.estimates()
    assert list(found) == ["gold", "rude", "distinct", "distinct_2"]
    assert found["gold"].mean == pytest.approx(1.0)
    assert found["gold"].n == 6
    assert found["rude"].mean == pytest.approx(1 / 6)
    assert 0 <= found["rude"].low < 1 / 6 < found["rude"].high <= 1  # Wilson's interval
    assert found["distinct"].mean == pytest.approx((0.5 + 1 + 1) / 3)
    assert found["distinct"].n == 3


def test_intervals_are_clustered_by_prompt(samples: Samples) -> None:
    twice = Samples(
        [*samples.completions, *samples.completions],
        {name: [*values, *values] for name, values in samples.values.items()},
    )
    once, again = samples.estimate("gold"), twice.estimate("gold")
    assert (again.mean, again.low, again.high) == pytest.approx((once.mean, once.low, once.high))


def test_by_family(samples: Samples) -> None:
    found = samples.by_family()
    assert list(found) == ["facts", "verse"]
    assert found["facts"]["gold"].mean == pytest.approx(1.5)
    assert (found["verse"]["gold"].mean, found["verse"]["gold"].n) == (0.0, 2)


def test_where_keeps_answers_and_values_together(samples: Samples) -> None:
    chosen = samples.where([value > 0.5 for value in samples.values["gold"]])
    assert [item.text for item in chosen.completions] == [
        "one two",
        "one two",
        "four five",
        "six six",
    ]
    assert chosen.values["gold"] == [1.0, 3.0, 2.0, 1.0]
    assert chosen.prompts == ["a", "a", "b", "c"]


def test_a_gap_is_paired_by_prompt(samples: Samples) -> None:
    better = Samples(
        samples.completions, {"gold": [value + 0.5 for value in samples.values["gold"]]}
    )
    found = gap(better, samples, "gold")
    assert (found.mean, found.low, found.high, found.n) == pytest.approx((0.5, 0.5, 0.5, 3))
    assert gap(samples, better, "gold").mean == pytest.approx(-0.5)


def test_what_a_measure_says_nothing_of_is_no_part_of_it(samples: Samples) -> None:
    nan = math.nan
    verse = Samples(samples.completions, {"metrical": [nan, nan, nan, nan, 1.0, 0.0]})
    found = verse.estimate("metrical")
    assert (found.mean, found.n) == (0.5, 2)
    families = verse.by_family()
    assert "metrical" not in families["facts"]
    assert families["verse"]["metrical"].mean == 0.5
    assert verse.family("facts").estimates().keys() == {"distinct", "distinct_2"}
    partly = Samples(samples.completions, {"metrical": [1.0, 1.0, 0.5, 0.5, nan, nan]})
    better = Samples(samples.completions, {"metrical": [1.0, 1.0, 1.0, 1.0, nan, nan]})
    assert gap(better, partly, "metrical").mean == pytest.approx(0.25)


def test_means_by_prompt_add_up_to_the_estimates(samples: Samples) -> None:
    values = {**samples.values, "correct": [1.0, math.nan, math.nan, math.nan, 0.0, 1.0]}
    known = Samples(samples.completions, {**values, "none": [math.nan] * 6})
    found = known.by_prompt()
    assert found["gold"] == {"a": 2.0, "b": 1.0, "c": 0.0}
    assert found["correct"] == {"a": 1.0, "c": 0.5}
    assert found["distinct"] == {"a": 0.5, "b": 1.0, "c": 1.0}
    assert "none" not in found
    for name, estimate in samples.estimates().items():
        means = list(samples.by_prompt()[name].values())
        assert sum(means) / 3 == pytest.approx(estimate.mean)  # as many answers to each
