"""Curves as SVG."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from heed.report.lines import BOTTOM, LEFT, RIGHT, TOP, key, lines
from heed.report.measures import Measure

WHAT = Measure("KL <b>", "nats")


def path_of(svg: str) -> list[list[tuple[float, float]]]:
    found = re.findall(r'<path d="M([^"]+)"', svg)
    return [[(float(x), float(y)) for x, y in (point.split() for point in each.split("L"))]
            for each in found]  # fmt: skip


def test_points_lie_where_they_should() -> None:
    svg = lines({0: ([0, 5, 10], [0.0, 1.0, 0.5])}, WHAT, description="one")
    (points,) = path_of(svg)
    assert points == [
        (LEFT, BOTTOM), ((LEFT + RIGHT) / 2, TOP), (RIGHT, (TOP + BOTTOM) / 2)
    ]  # fmt: skip


def test_it_is_xml_without_styles_and_texts_are_escaped() -> None:
    svg = lines({0: ([1], [2.0]), 1: ([1, 2], [3.0, 3.0])}, WHAT, description='"><script>')
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == '"><script>'
    assert [each.text for each in root.iter("text")].count("KL <b>, nats") == 1
    assert "style" not in svg
    assert "class=" not in svg


@pytest.mark.parametrize(
    ("values", "ticks"),
    [([0.0, 0.004], ["0.000", "0.001", "0.002", "0.003", "0.004"]), ([-2.0, 2.0], ["−2", "0"])],
)
def test_ticks_are_round_and_told_apart(values: list[float], ticks: list[str]) -> None:
    svg = lines({0: ([1, 2], values)}, WHAT, description="d")
    words = [each.text for each in ElementTree.fromstring(svg).iter("text")]
    assert set(ticks) <= set(words)
    levels = [word for word in words if word and re.fullmatch(r"−?[\d.,]+", word)]
    assert len(set(levels)) >= 2


def test_curves_are_told_apart_without_colours() -> None:
    assert "stroke-dasharray" not in key(0)
    assert "stroke-dasharray" in key(1)
    assert key(1) != key(2)
