"""Charts and numbers in words."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest

from heed.stats.intervals import Estimate
from heed.types import Verdict
from heed.web import charts, wording

START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
NAN = math.nan


def texts(svg: str) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(svg).iter("text")]


def test_labels_over_time_end_where_they_should() -> None:
    times = [START + timedelta(minutes=at) for at in range(61)]
    svg = charts.labels_over_time(times, 100)
    words = texts(svg)
    assert "wanted labels in" in words
    assert "time of day on 2 March (UTC)" in words
    assert {"09:30", "10:00", "10:30"} <= set(words)
    assert "wanted: 100" in words
    path = re.search(r'class="curve" d="M([\d.]+) ([\d.]+).*H([\d.]+)V([\d.]+)"', svg)
    assert path is not None
    left, low, right, high = map(float, path.groups())
    assert (left, right) == (charts.LEFT, charts.RIGHT)
    # 61 of 100 labels stand at 61% of the height, the first at 1%.
    room = charts.BOTTOM - charts.TOP
    assert (charts.BOTTOM - high) / room == pytest.approx(0.61, abs=0.001)
    assert (charts.BOTTOM - low) / room == pytest.approx(0.01, abs=0.001)


def test_the_goals_name_stands_above_the_curve() -> None:
    times = [START + timedelta(minutes=at) for at in range(100)]
    svg = charts.labels_over_time(times, 100)
    name = re.search(r'y="([\d.]+)" text-anchor="end">wanted: 100<', svg)
    path = re.search(r'class="curve" d="([^"]+)"', svg)
    assert name is not None
    assert path is not None
    heights = [float(y) for y in re.findall(r"(?:V|M[\d.]+ )([\d.]+)", path[1])]
    assert float(name[1]) < min(heights) - 5


@pytest.mark.parametrize(
    ("span", "unit"),
    [
        (timedelta(0), "time of day on 2 March (UTC)"),
        (timedelta(seconds=20), "time of day on 2 March (UTC)"),
        (timedelta(hours=20), "time of day on 2 to 3 March (UTC)"),
        (timedelta(days=9), "day of 2026 (UTC)"),
        (timedelta(days=4000), "month (UTC)"),
    ],
)
def test_any_span_of_time_has_a_few_ticks(span: timedelta, unit: str) -> None:
    svg = charts.labels_over_time([START, START + span], 0)
    words = texts(svg)
    assert unit in words
    ticks = [
        word
        for word in words
        if re.fullmatch(r"\d\d:\d\d(:\d\d)?|\d+ [A-Z][a-z]{2}|[A-Z][a-z]{2} \d{4}", word)
    ]
    assert 1 <= len(ticks) <= 6


def test_many_labels_make_a_small_chart() -> None:
    times = [START + timedelta(seconds=at) for at in range(100_000)]
    svg = charts.labels_over_time(times, 10**9)
    assert len(svg) < 12_000
    assert "wanted: " not in svg  # out of reach


def test_bars_and_intervals_are_to_scale_and_escaped() -> None:
    svg = charts.bars({"<1>": 5, "2": 10}, "grade & more", "labels", 'said "so"')
    heights = [float(h) for h in re.findall(r'class="bar".*?height="([\d.]+)"', svg)]
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.2)
    assert "<1>" in texts(svg)
    rows = [
        ("<b>", Estimate(0.5, 0.25, 0.75, 9), "ours"),
        ("x", Estimate(0.6, NAN, NAN, 9), "theirs"),
        ("y", Estimate(NAN, NAN, NAN, 0), "theirs"),
    ]
    svg = charts.intervals(rows, "share, %", "of three", span=(0.0, 1.0))
    assert svg.count("<circle") == 2
    assert svg.count('class="span') == 1
    ends = re.search(r'class="span ours" x1="([\d.]+)".*?x2="([\d.]+)"', svg)
    dot = re.search(r'class="dot ours" cx="([\d.]+)"', svg)
    assert ends is not None
    assert dot is not None
    assert (float(ends[1]) + float(ends[2])) / 2 == pytest.approx(float(dot[1]), abs=0.1)
    assert "style" not in svg


@pytest.mark.parametrize(
    ("hours", "said"),
    [(0.0, "0 s"), (45 / 3600, "45 s"), (0.2, "12 min"), (1.5, "1 h 30 min"), (2.0, "2 h"),
     (15.2, "15 h"), (2000.0, "2,000 h"), (NAN, "–"), (math.inf, "–")],
)  # fmt: skip
def test_durations(hours: float, said: str) -> None:
    assert wording.duration(hours) == said


def test_figures_carry_their_intervals() -> None:
    assert wording.share(Estimate(0.5, 0.25, 0.75, 4)) == "50%<small>25 to 75%</small>"
    assert wording.share(Estimate(0.5, NAN, NAN, 1)) == "50%"
    assert wording.share(Estimate(NAN, NAN, NAN, 0)) == "–"
    assert wording.coefficient(Estimate(-0.1, -0.2, 0.3, 4)) == "−0.10<small>−0.20 to 0.30</small>"
    assert wording.money(0.0125, "EUR") == "0.013 EUR"
    assert wording.money(1234.5, "EUR") == "1,234.50 EUR"
    assert wording.money(NAN, "EUR") == "–"
    assert wording.seconds(NAN) == "–"


@pytest.mark.parametrize(
    ("verdict", "order", "said"),
    [
        (1, (0, 1), "A significantly better"),
        (4, (1, 0), "B negligibly better"),
        (5, (0, 1), "B negligibly better"),
        (8, (1, 0), "A significantly better"),
        ("both_bad", (1, 0), "both bad"),
        ((1, 2, 2), (2, 0, 1), "C > A = B"),
        ((3, 1, 2), (0, 1, 2), "B > C > A"),
    ],
)
def test_verdicts_in_the_items_own_order(
    verdict: Verdict, order: tuple[int, ...], said: str
) -> None:
    assert wording.verdict(verdict, order) == said
