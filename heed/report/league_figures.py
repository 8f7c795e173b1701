"""Who gained how much, and at what distance: figures of the league, and of one run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from numpy.typing import NDArray

from heed.report import figures
from heed.report.measures import measure_of, policy_name
from heed.report.verdict import FEW
from heed.stats.intervals import Estimate

_LARGE, _FITTING = (5.2, 3.6), (4.2, 2.9)
"""Inches of a figure with many names, and of one that can be read on a phone."""
_SMALL = 7.0
"""Points of the letters that stand at dots."""


def league(rows: Mapping[str, tuple[Estimate, Sequence[float]]], key: str, baseline: str) -> Markup:
    """How far every policy lies above the baseline, with its interval and a faint dot a seed."""
    what = measure_of(key)
    with rc_context({**figures.STYLE, "axes.grid.axis": "x"}):
        figure, axes = figures.axes(5.2, 0.9 + 0.22 * len(rows))
        axes.axvline(0.0, color=figures.MUTED, linewidth=1, linestyle=(0, (3, 3)))
        for row, (_, (above, by_seed)) in enumerate(rows.items()):
            sure = above.low > 0
            axes.plot(
                by_seed, [row] * len(by_seed), "o", color=figures.MUTED, alpha=0.5, markersize=2.5
            )
            figures.dot(axes, above, row, figures.POLICY_COLOURS["dpo" if sure else "base"])
        figures.named(axes, [policy_name(name) for name in rows])
        axes.set_xlabel(f"{what.label.lower()} above {policy_name(baseline)}")
        return figures.svg(
            figure, f"{what.label} of {len(rows)} policies above {policy_name(baseline)}"
        )


def price(
    rows: Mapping[str, tuple[Estimate, Estimate]],
    key: str,
    baseline: str,
    colour: Mapping[str, str] | None = None,
) -> Markup:
    """What every policy gained against the KL that it paid, faint lines for the intervals of both;
    names stand at the dots.
    """
    what = measure_of(key)
    names = [policy_name(name) for name in rows]
    dots = [(math.sqrt(max(0.0, kl.mean)), above.mean) for kl, above in rows.values()]
    with rc_context(figures.STYLE):
        figure, axes = figures.axes(*(_LARGE if len(rows) > FEW else _FITTING))
        for (x, y), (policy, (kl, above)) in zip(dots, rows.items(), strict=True):
            ink = (colour or {}).get(policy, figures.POLICY_COLOURS["sft"])
            ends = [math.sqrt(max(0.0, bound)) for bound in (kl.low, kl.high)]
            axes.plot(ends, [y, y], color=ink, linewidth=1.2, alpha=0.4)
            axes.plot([x, x], [above.low, above.high], color=ink, linewidth=1.2, alpha=0.4)
            axes.plot([x], [y], "o", color=ink, markersize=4)
        axes.axhline(0.0, color=figures.MUTED, linewidth=1, linestyle=(0, (3, 3)))
        axes.margins(x=0.15)
        axes.set_xlim(left=0.0)
        axes.set_xlabel(f"√KL from {policy_name(baseline)}, √nats")
        axes.set_ylabel(f"{what.label.lower()} above {policy_name(baseline)}")
        figure.draw_without_rendering()
        to_points = axes.transData.transform(dots) * 72 / figure.dpi
        for name, at, (right, up) in zip(names, dots, beside(names, to_points), strict=True):
            axes.annotate(
                name, at, (right, up), textcoords="offset points", fontsize=_SMALL,
                ha="left" if right > 0 else "right",
                arrowprops={"arrowstyle": "-", "lw": 0.4, "color": figures.MUTED, "shrinkB": 2},
            )  # fmt: skip
        return figures.svg(figure, f"{what.label} of {len(rows)} policies against their KL")


def beside(names: Sequence[str], dots: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Where each name stands from its dot, in points like the dots: right (+) or left of it, and
    so far up or down that it covers no name before it and no dot.
    """
    taken = [(x - 2, y - 2, x + 2, y + 2) for x, y in dots]
    found = []
    for name, (x, y) in zip(names, dots, strict=True):
        wide = 0.6 * _SMALL * len(name)
        boxes = {
            (right, up): (low, y + up - 1, low + wide, y + up + _SMALL)
            for step in range(len(names) + 1)
            for up in (2.0 + _SMALL * step, -_SMALL - _SMALL * step)
            for right, low in ((4.0, x + 4), (-4.0, x - 4 - wide))
        }
        free = (where for where, box in boxes.items() if not any(_meet(box, o) for o in taken))
        found.append(next(free, (4.0, 2.0)))
        taken.append(boxes[found[-1]])
    return found


def _meet(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two boxes (left, bottom, right, top) overlap."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
