"""Small charts as inline SVG, drawn without a library: a page's numbers, seen at a glance.

Colours, fonts and line widths come from owner.css by class, so that a chart follows the page into
the dark and onto paper, and the Content-Security-Policy needs no exception. Every chart is 360
units wide, the width of a phone, and says in words what it shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from markupsafe import Markup, escape

from heed.stats.intervals import Estimate

WIDTH = 360.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 350.0, 22.0, 150.0
"""The plot inside a chart with two axes; below it stand the ticks' words and the axis' name."""
POINTS = 240
"""A curve is thinned to so many points: there are no more pixels."""

STEPS = [timedelta(seconds=s) for s in (1, 2, 5, 10, 15, 30)] + [
    *(timedelta(minutes=m) for m in (1, 2, 5, 10, 15, 30)),
    *(timedelta(hours=h) for h in (1, 2, 3, 6, 12)),
    *(timedelta(days=d) for d in (1, 2, 7, 14, 28, 91)),
]


def labels_over_time(times: Sequence[datetime], wanted: int) -> Markup:
    """Wanted labels so far against the clock, and how many are wanted where that is in reach.

    Args:
        times: when each wanted label came in, aware, in any order.
        wanted: labels the project asks for, 0 if it does not say.
    """
    moments = sorted(time.astimezone(UTC) for time in times)
    start, end = moments[0], max(moments[-1], moments[0] + timedelta(seconds=1))
    levels = _ticks(0, max(len(moments), wanted if 4 * len(moments) >= wanted else 0))
    top = levels[-1]

    def x(moment: datetime) -> float:
        return LEFT + (RIGHT - LEFT) * ((moment - start) / (end - start))

    def y(count: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * count / top

    parts = [_levels(levels, y, lambda level: f"{level:,.0f}")]
    step, form, unit = _clock(start, end)
    parts += [_under(x(moment), moment.strftime(form)) for moment in _moments(start, end, step)]
    if wanted and wanted <= top:
        parts.append(_line(LEFT, y(wanted), RIGHT, y(wanted), "goal"))
        parts += _goal_name(f"wanted: {wanted:,}")
    parts.append(_curve([(x(moment), y(count)) for moment, count in _thinned(moments)]))
    parts += [_x_name(unit), _y_name("wanted labels in")]
    return _svg(
        200,
        f"{len(moments):,} wanted labels between {start:%d %B %H:%M} and {end:%d %B %H:%M} UTC",
        parts,
    )


def bars(counts: Mapping[str, int], x_name: str, y_name: str, description: str) -> Markup:
    """A bar for each name, with its count above it."""
    levels = _ticks(0, max([*counts.values(), 1]))
    top = levels[-1]

    def y(count: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * count / top

    parts = [_levels(levels, y, lambda level: f"{level:,.0f}")]
    room = (RIGHT - LEFT) / max(1, len(counts))
    for place, (name, count) in enumerate(counts.items()):
        middle = LEFT + room * (place + 0.5)
        parts.append(
            f'<rect class="bar" x="{middle - 0.36 * room:.1f}" y="{y(count):.1f}" '
            f'width="{0.72 * room:.1f}" height="{BOTTOM - y(count):.1f}"/>'
        )
        parts.append(_text(middle, y(count) - 4, f"{count:,}", "middle", "value"))
        parts.append(_under(middle, name))
    parts += [_x_name(x_name), _y_name(y_name)]
    return _svg(200, description, parts)


def intervals(
    rows: Sequence[tuple[str, Estimate, str]],
    x_name: str,
    description: str,
    *,
    span: tuple[float, float] | None = None,
    form: Callable[[float], str] = lambda value: f"{value:g}",
) -> Markup:
    """A dot and its interval a row, names above them: figures that want to be compared.

    Args:
        rows: (name, figure, class); the class "ours" or "theirs" gives the colour. A figure
            without an interval is a dot alone, one that is not known an empty row.
        x_name: what the axis measures, with its unit.
        description: the same in words, for those who do not see it.
        span: the ends of the axis; those of the figures where it is not given.
        form: how a tick is written.
    """
    known = [
        value
        for _, figure, _ in rows
        for value in (figure.mean, figure.low, figure.high)
        if math.isfinite(value)
    ]
    low, high = span or (min(known, default=0.0), max(known, default=1.0))
    ticks = _ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    left, row_height = 12.0, 34.0
    floor = 8 + row_height * len(rows)

    def x(value: float) -> float:
        return left + (RIGHT - left) * (value - low) / ((high - low) or 1.0)

    parts = []
    for tick in ticks:
        parts.append(_line(x(tick), 6, x(tick), floor, "level"))
        parts.append(_text(x(tick), floor + 14, form(tick), _anchor(tick, ticks)))
    for place, (name, figure, kind) in enumerate(rows):
        base = 18 + row_height * place
        parts.append(_text(left, base, name, "start", "name"))
        if math.isfinite(figure.low) and math.isfinite(figure.high):
            parts.append(_line(x(figure.low), base + 11, x(figure.high), base + 11, f"span {kind}"))
        if math.isfinite(figure.mean):
            parts.append(
                f'<circle class="dot {escape(kind)}" cx="{x(figure.mean):.1f}" '
                f'cy="{base + 11:.1f}" r="4.5"/>'
            )
    parts.append(_text((left + RIGHT) / 2, floor + 32, x_name, "middle"))
    return _svg(floor + 40, description, parts)


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers that cover low to high."""
    rough = ((high - low) or 1.0) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * place for place in range(first, last + 1)]


def _clock(start: datetime, end: datetime) -> tuple[timedelta, str, str]:
    """The step between ticks, how a tick is written, and the axis' name."""
    span = end - start
    longest = STEPS[-1] * math.ceil(span / (4 * STEPS[-1]))
    step = next((step for step in STEPS if span / step <= 4), longest)
    if step >= STEPS[-1]:
        return step, "%b %Y", "month (UTC)"
    if step >= timedelta(days=1):
        return step, "%-d %b", f"day of {end:%Y} (UTC)"
    form = "%H:%M" if step >= timedelta(minutes=1) else "%H:%M:%S"
    days = f"{end:%-d %B}" if start.date() == end.date() else f"{start:%-d} to {end:%-d %B}"
    return step, form, f"time of day on {days} (UTC)"


def _moments(start: datetime, end: datetime, step: timedelta) -> list[datetime]:
    """Round moments from start to end, counted from midnight of the first day."""
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    first, last = -((midnight - start) // step), (end - midnight) // step
    return [midnight + step * place for place in range(first, last + 1)]


def _thinned(moments: Sequence[datetime]) -> list[tuple[datetime, int]]:
    """Each moment with how many came up to it, at most about POINTS of them."""
    every = math.ceil(len(moments) / POINTS)
    kept = list(range(0, len(moments), every))
    if kept[-1] != len(moments) - 1:
        kept.append(len(moments) - 1)
    return [(moments[index], index + 1) for index in kept]


def _curve(points: Sequence[tuple[float, float]]) -> str:
    """Steps: between two labels nothing came in."""
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    path += "".join(f"H{x:.1f}V{y:.1f}" for _, (x, y) in pairwise(points))
    return f'<path class="curve" d="{path}"/>'


def _levels(
    levels: Sequence[float], y: Callable[[float], float], form: Callable[[float], str]
) -> str:
    return "".join(
        _line(LEFT, y(level), RIGHT, y(level), "level")
        + _text(LEFT - 6, y(level) + 4, form(level), "end")
        for level in levels
        if level == round(level)
    )


def _anchor(tick: float, ticks: Sequence[float]) -> str:
    return {ticks[0]: "start", ticks[-1]: "end"}.get(tick, "middle")


def _under(x: float, words: str) -> str:
    return _text(x, BOTTOM + 16, words, "middle")


def _x_name(words: str) -> str:
    return _text((LEFT + RIGHT) / 2, BOTTOM + 36, words, "middle")


def _y_name(words: str) -> str:
    return _text(4, 12, words, "start")


def _goal_name(words: str) -> list[str]:
    """Above the plot, where no curve comes, behind a piece of the line that it names."""
    start = RIGHT - 7 * len(words)
    return [_line(start - 28, 8, start - 6, 8, "goal"), _text(RIGHT, 12, words, "end")]


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, words: str, anchor: str, kind: str = "tick") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{escape(words)}</text>"
    )


def _svg(height: float, description: str, parts: Sequence[str]) -> Markup:
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img" '
        f'aria-label="{escape(description)}">{"".join(parts)}</svg>'
    )
