"""What figures share: inline SVG that takes its font and its ink from the page, light or dark.

Small figures, one idea each: a grid of them wraps on a phone and stays readable there. The same
numbers give the same bytes.
"""

from __future__ import annotations

import html
import io
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from heed.stats.intervals import Estimate

# Stand-ins that become the page's variables once the figure is SVG.
INK, MUTED, LINE = "#111213", "#717273", "#d1d2d3"
_VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", LINE: "var(--line)"}
POLICY_COLOURS = {"base": "#8a8d93", "sft": "#3f7fbf", "dpo": "#2f9c86", "ppo": "#d07a2d"}
_OTHERS = ("#a05a9c", "#b8505f", "#7d9a3c", "#5a6fb0", "#8a6a45", "#3f9fb5", "#c98fb0", "#5f6f4a")
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "heed",
    "text.parse_math": False,
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


def colours(policies: Sequence[str]) -> dict[str, str]:
    """A colour a policy, the same on the whole page."""
    others = [name for name in policies if name not in POLICY_COLOURS]
    extra = {name: _OTHERS[index % len(_OTHERS)] for index, name in enumerate(others)}
    return {name: POLICY_COLOURS.get(name) or extra[name] for name in policies}


def smooth(values: Sequence[float]) -> NDArray[np.float64]:
    """A centred moving average over about a tenth of the points, shorter at the ends."""
    y = np.asarray(values, dtype=np.float64)
    half = len(y) // 20
    totals = np.concatenate([[0.0], np.cumsum(y)])
    index = np.arange(len(y))
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, len(y))
    averages: NDArray[np.float64] = (totals[high] - totals[low]) / (high - low)
    return averages


def dots(
    rows: Mapping[str, Mapping[str, Estimate]],
    colour: Mapping[str, str],
    *,
    label: str,
    description: str,
    share: bool = False,
    level: float | None = None,
) -> Markup:
    """Estimates with their intervals, rows down the page, in each a dot a policy.

    Args:
        rows: the row's name -> policy -> estimate.
        colour: policy -> its colour; rows have their dots in this order.
        label: what stands under the axis, with its unit.
        description: see `svg`.
        share: figures are shares, written in percent.
        level: where a dashed line stands, such as chance or no change.
    """
    places = list(colour)
    with rc_context({**STYLE, "axes.grid.axis": "x"}):
        figure, ax = axes(4.4, 0.9 + len(rows) * (0.16 + 0.11 * len(places)))
        if level is not None:
            ax.axvline(level, color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
        for row, found in enumerate(rows.values()):
            for policy, estimate in found.items():
                place = places.index(policy) - (len(places) - 1) / 2
                dot(ax, estimate, row + place * 0.56 / max(1, len(places) - 1), colour[policy])
        named(ax, list(rows))
        for row in range(1, len(rows)):
            ax.axhline(row - 0.5, color=LINE, linewidth=0.6)
        if share:
            ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        ax.set_xlabel(label)
        return svg(figure, description)


def listed(
    rows: Mapping[str, tuple[Estimate, str]],
    *,
    label: str,
    description: str,
    share: bool = False,
    level: float | None = None,
) -> Markup:
    """An estimate with its interval a row, in the row's colour; else as `dots`."""
    with rc_context({**STYLE, "axes.grid.axis": "x"}):
        figure, ax = axes(4.4, 0.7 + 0.3 * len(rows))
        if level is not None:
            ax.axvline(level, color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
        for row, (estimate, ink) in enumerate(rows.values()):
            dot(ax, estimate, row, ink)
        named(ax, list(rows))
        if share:
            ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        ax.set_xlabel(label)
        return svg(figure, description)


def named(ax: Axes, rows: Sequence[str]) -> None:
    """Name the rows of a figure, the first at the top."""
    ax.set_yticks(range(len(rows)), rows)
    ax.tick_params(axis="y", length=0, labelcolor=INK)
    ax.set_ylim(len(rows) - 0.5, -0.5)


def dot(ax: Axes, estimate: Estimate, row: float, colour: str) -> None:
    """An estimate in a row, a line as long as its interval; nothing where it is unknown."""
    if math.isfinite(estimate.low) and math.isfinite(estimate.high):
        ax.plot([estimate.low, estimate.high], [row, row], color=colour, linewidth=1.6)
    if math.isfinite(estimate.mean):
        ax.plot([estimate.mean], [row], "o", color=colour, markersize=4.5)


def axes(
    width: float, height: float, layout: Literal["constrained"] | None = "constrained"
) -> tuple[Figure, Axes]:
    """An empty figure of so many inches and its axes; draw it within `rc_context(STYLE)`."""
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasSVG(figure)
    return figure, figure.subplots()


def svg(figure: Figure, description: str) -> Markup:
    """The figure as an <svg> element: no fixed size, no metadata, ids that no other one has.

    `description` is what a reader who does not see hears; it must differ from figure to figure.
    """
    buffer = io.StringIO()
    with warnings.catch_warnings():
        # The browser's fonts draw the text; that the measuring font lacks a letter is no matter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(
            buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    text = buffer.getvalue()
    body = text[text.index(">", text.index("<svg")) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.S)
    box = re.search(r'viewBox="([^"]+)"', text)
    assert box is not None
    prefix = re.sub(r"\W+", "-", description.lower())
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', body))
    body = re.sub(r' id="([^"]+)"', lambda m: f' id="{prefix}-{m[1]}"' * (m[1] in used), body)
    body = re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}-", body)
    for stand_in, variable in _VARIABLES.items():
        body = body.replace(stand_in, variable)
    label = html.escape(description, quote=True)
    return Markup(f'<svg viewBox="{box[1]}" role="img" aria-label="{label}">{body}')
