from __future__ import annotations

import math

import numpy as np
import pytest

from heed.report.figures import colours, smooth
from heed.report.measures import (
    Measure,
    duration,
    figure,
    in_order,
    interval,
    measure_of,
    number,
    rate,
    with_interval,
)
from heed.stats.intervals import Estimate


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.846, "1.85"),
        (-0.5, "−0.50"),
        (-0.001, "0.00"),
        (12345.6, "12,346"),
        (math.nan, "unknown"),
    ],
)
def test_numbers_read_well(value: float, text: str) -> None:
    assert number(value) == text


def test_figures_by_measure() -> None:
    assert figure(0.1234, Measure("x", share=True)) == "12.3%"
    assert figure(-0.0001, Measure("x", share=True)) == "0.0%"
    assert figure(math.nan, Measure("x", share=True)) == "unknown"
    assert figure(11.26, measure_of("length")) == "11.3"
    assert figure(3, measure_of("some_other")) == "3.00"
    assert measure_of("some_other").label == "Some other"


def test_intervals_in_the_unit_of_their_figure() -> None:
    share = Measure("x", share=True)
    assert with_interval(Estimate(0.5, 0.4, 0.6, 9), share) == "50.0% [40.0, 60.0]"
    assert interval(Estimate(0.5, math.nan, math.nan, 1), share) == ""
    assert with_interval(Estimate(-1, -2, 0, 9), Measure("x")) == "−1.00 [−2.00, 0.00]"


@pytest.mark.parametrize(
    ("seconds", "text"), [(9.27, "9.3 s"), (130, "2 min 10 s"), (7500, "2 h 05 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_in_order_keeps_what_is_unknown() -> None:
    assert in_order(["z", "b", "a", "b"], ["a", "b", "c"]) == ["a", "b", "z"]


def test_smooth_is_a_centred_average() -> None:
    assert smooth([1.0, 5.0, 3.0]).tolist() == [1, 5, 3]
    line = np.arange(40.0)
    assert smooth(line.tolist())[2:-2] == pytest.approx(line[2:-2])
    assert smooth(line.tolist())[0] == pytest.approx(1.0)


def test_colours_differ_and_known_policies_keep_theirs() -> None:
    found = colours(["base", "sft", "dpo", "ppo", "best_of_4", "rloo"])
    assert len(set(found.values())) == 6
    assert found["ppo"] == colours(["ppo"])["ppo"]


def test_a_rate_of_one_cluster_has_no_interval() -> None:
    assert rate(Estimate(61.6, 54.4, 68.8, 90)) == "62% [54, 69]"
    assert rate(Estimate(100.0, math.nan, math.nan, 1)) == "100%"
