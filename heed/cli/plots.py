"""A curve in a few characters: braille holds two by four dots in each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""The bits of a braille character, by column and row of its dots."""
_BLANK = 0x2800


def braille(steps: Sequence[float], values: Sequence[float], width: int, height: int) -> list[str]:
    """The values against their steps as `height` lines of `width` characters.

    The first step stands at the left, the last at the right; the lowest value at the bottom, the
    highest at the top. What never changes lies in the middle; a single point is a dot.
    """
    columns, rows = 2 * width, 4 * height
    at = np.linspace(steps[0], steps[-1], columns if len(steps) > 1 else 1)
    y = np.interp(at, steps, values)
    low, high = float(y.min()), float(y.max())
    share = (y - low) / (high - low) if high > low else np.full(len(y), 0.5)
    level = np.rint((1 - share) * (rows - 1)).astype(int)
    cells = [[0] * width for _ in range(height)]
    for column, row in enumerate(level):
        before = level[column - 1] if column else row
        # From beside the last dot to this one, so that a steep rise is no row of loose dots.
        first = row if before == row else before + (1 if row > before else -1)
        for each in range(min(first, row), max(first, row) + 1):
            cells[each // 4][column // 2] |= _DOTS[column % 2][each % 4]
    return ["".join(chr(_BLANK + bits) for bits in line) for line in cells]
