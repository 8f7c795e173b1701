"""Curves of a training as inline SVG, drawn in a millisecond: for pages that draw them anew.

Nothing in them asks for a style sheet or a style attribute, which a Content-Security-Policy would
forbid; ink comes from the page's variables --ink, --muted and --line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape
from matplotlib.ticker import MaxNLocator

from heed.report.measures import Measure, number

WIDTH, HEIGHT = 360.0, 196.0
LEFT, RIGHT, TOP, BOTTOM = 50.0, 350.0, 26.0, 150.0
"""The plot inside a chart; below it stand the ticks' words and the axis' name."""
COLOURS = ("#3f7fbf", "#d07a2d", "#2f9c86", "#a05a9c", "#b8505f", "#7d9a3c")
"""Of the first curve, the second, ..."""
DASHES = ("", "6 3", "2 3", "8 3 2 3", "1 2", "10 4")
"""The curves are told apart without their colours, too."""
_FAINT = 'stroke="var(--muted)" stroke-opacity="0.45" stroke-width="1"'
Points = tuple[Sequence[float], Sequence[float]]
"""(steps, values), neither empty."""


def lines(
    curves: Mapping[int, Points], what: Measure, *, description: str, faint: Sequence[Points] = ()
) -> Markup:
    """A metric over the iterations.

    Args:
        curves: by place, which gives the colour and the dashes.
        what: the metric, for the axis' name.
        description: the same in words, for those who do not see it.
        faint: what lies behind them, in one tone.
    """
    every = [*curves.values(), *faint]
    steps = [step for points in every for step in points[0]]
    values = [value for points in every for value in points[1]]
    levels, ticks = _ticks(min(values), max(values)), _ticks(min(steps), max(steps), whole=True)
    low, high = min(levels[0], *values), max(levels[-1], *values)
    first, last = min(steps), max(steps)

    def place(step: float, value: float) -> tuple[float, float]:
        across = (step - first) / ((last - first) or 1.0)
        up = (value - low) / ((high - low) or 1.0)
        return LEFT + (RIGHT - LEFT) * across, BOTTOM - (BOTTOM - TOP) * up

    parts = []
    digits = _digits(levels)
    for level in levels:
        _, y = place(first, level)
        parts.append(
            f'<line x1="{LEFT:.1f}" y1="{y:.1f}" x2="{RIGHT:.1f}" y2="{y:.1f}" '
            'stroke="var(--line)" stroke-width="1"/>'
        )
        parts.append(_text(LEFT - 6, y + 4, number(level, digits), "end"))
    for tick in ticks:
        if first <= tick <= last:
            x, _ = place(tick, low)
            parts.append(_text(x, BOTTOM + 17, f"{tick:,.0f}", _anchor(x)))
    for points in faint:
        parts.append(_curve([place(*point) for point in zip(*points, strict=True)], _FAINT))
    for at, points in curves.items():
        parts.append(_curve([place(*point) for point in zip(*points, strict=True)], _stroke(at)))
    unit = f", {what.unit}" if what.unit else ""
    parts.append(_text(4, 12, f"{what.label}{unit}", "start", ink="var(--ink)"))
    parts.append(_text((LEFT + RIGHT) / 2, BOTTOM + 38, "iteration", "middle"))
    return Markup(
        f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" '
        f'aria-label="{escape(description)}">{"".join(parts)}</svg>'
    )


def key(at: int) -> Markup:
    """A short piece of a curve's line, for a legend."""
    return Markup(
        '<svg class="key" viewBox="0 0 28 8" width="28" height="8" aria-hidden="true">'
        f'<path d="M0 4H28" fill="none" {_stroke(at)}/></svg>'
    )


def _stroke(at: int) -> str:
    dashes = DASHES[at % len(DASHES)]
    return f'stroke="{COLOURS[at % len(COLOURS)]}" stroke-width="2"' + (
        f' stroke-dasharray="{dashes}"' if dashes else ""
    )


def _curve(points: Sequence[tuple[float, float]], stroke: str) -> str:
    if len(points) == 1:  # a line of no length with a round end is a dot
        points = [*points, *points]
        stroke += ' stroke-linecap="round"'
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path d="M{path}" fill="none" {stroke}/>'


def _ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Round numbers from low to high and perhaps a little beyond."""
    if low == high:
        return [low]
    locator = MaxNLocator(4, steps=[1, 2, 2.5, 5, 10], integer=whole)
    return [float(tick) for tick in locator.tick_values(low, high)]


def _digits(levels: Sequence[float]) -> int:
    """Decimals that tell the levels apart."""
    return next((d for d in range(7) if len({round(x, d) for x in levels}) == len(levels)
                 and all(abs(round(x, d) - x) < 1e-9 for x in levels)), 7)  # fmt: skip


def _anchor(x: float) -> str:
    return "start" if x < LEFT + 8 else "end" if x > RIGHT - 8 else "middle"


def _text(x: float, y: float, words: str, anchor: str, *, ink: str = "var(--muted)") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="11" fill="{ink}">'
        f"{escape(words)}</text>"
    )
