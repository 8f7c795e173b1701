"""A metric as it comes in, and so many points of it as can be seen."""

from __future__ import annotations

import math
from array import array

import numpy as np

POINTS = 240
"""A curve is thinned to so many points: there are no more pixels."""


class Series:
    """The values of a metric, by step."""

    def __init__(self) -> None:
        self._steps = array("d")
        self._values = array("d")

    def add(self, step: float, value: float) -> None:
        self._steps.append(step)
        self._values.append(value)

    @property
    def last(self) -> float:
        """The value that came in last."""
        return self._values[-1]

    def thinned(self, points: int = POINTS) -> tuple[list[float], list[float]]:
        """(steps, values), of a long one the means over stretches of equal length."""
        return thinned(self._steps, self._values, points)


def thinned(
    steps: array[float] | list[float], values: array[float] | list[float], points: int = POINTS
) -> tuple[list[float], list[float]]:
    """(steps, values) in `points` points at most: the means over stretches of equal length."""
    width = math.ceil(len(steps) / points) or 1
    starts = np.arange(0, len(steps), width)
    if width == 1:
        return list(steps), list(values)
    counts = np.diff(np.append(starts, len(steps)))
    x, y = (np.add.reduceat(np.asarray(each), starts) / counts for each in (steps, values))
    return x.tolist(), y.tolist()
