"""Where names stand in a figure."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from heed.report.league_figures import beside

HIGH, WIDE = 7.0, 0.6 * 7.0


def test_names_cover_neither_each_other_nor_a_dot() -> None:
    dots = np.random.default_rng(0).uniform(0, 40, (22, 2))
    names = [f"policy {number}" for number in range(22)]
    boxes = []
    for name, (x, y), (right, up) in zip(names, dots, beside(names, dots), strict=True):
        left = x + right - (0 if right > 0 else WIDE * len(name))
        boxes.append((left, y + up, left + WIDE * len(name), y + up + HIGH))
    for (a, b, c, d), (e, f, g, h) in combinations(boxes, 2):
        assert c <= e or g <= a or d <= f or h <= b
    for a, b, c, d in boxes:
        inside = (dots[:, 0] > a) & (dots[:, 0] < c) & (dots[:, 1] > b) & (dots[:, 1] < d)
        assert not inside.any()


def test_a_lone_name_stands_at_the_right() -> None:
    assert beside(["PPO"], np.array([[10.0, 10.0]])) == [(4.0, 2.0)]
