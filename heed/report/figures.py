"""Figures as inline SVG that takes its font and its ink from the page, light or dark.

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

from heed.report.learning import Panel
from heed.report.measures import measure_of, policy_name
from heed.stats.intervals import Estimate

# Stand-ins that become the page's variables once the figure is SVG.
_INK, _MUTED, _LINE = "#111213", "#717273", "#d1d2d3"
_VARIABLES = {_INK: "var(--ink)", _MUTED: "var(--muted)", _LINE: "var(--line)"}
POLICY_COLOURS = {"base": "#8a8d93", "sft": "#3f7fbf", "dpo": "#2f9c86", "ppo": "#d07a2d"}
_OTHERS = ("#a05a9c", "#b8505f", "#7d9a3c", "#5a6fb0", "#8a6a45", "#3f9fb5", "#c98fb0", "#5f6f4a")
_SMALL = 7.0
"""Points of the letters that stand at dots."""
PROXY_COLOUR, GOLD_COLOUR = "#3f7fbf", "#d07a2d"
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "heed",
    "text.parse_math": False,
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _MUTED,
    "axes.titlecolor": _INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _MUTED,
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


def curve(
    stage: str, steps: Sequence[float], values: Sequence[float], *, label: str, unit: str
) -> Markup:
    """One metric of one stage over its steps: every row faint, the smoothed line over it."""
    with rc_context(_STYLE):
        figure, axes = _axes(3.3, 2.0, layout=None)
        # Fixed margins: there are dozens of these, and fitting each takes most of its time.
        figure.subplots_adjust(left=0.19, right=0.95, top=0.88, bottom=0.24)
        axes.margins(x=0)
        axes.plot(steps, values, color=_MUTED, alpha=0.35, linewidth=0.8)
        axes.plot(steps, smooth(values), color=POLICY_COLOURS["sft"], linewidth=1.6)
        axes.set_title(label)
        axes.set_xlabel("step")
        axes.set_ylabel(unit)
        ends = f"from {values[0]:.3g} to {values[-1]:.3g}"
        return _svg(figure, f"{stage}: {label} over steps, {ends}")


def by_family(families: Mapping[str, Mapping[str, Mapping[str, Estimate]]], key: str) -> Markup:
    """A measure of every policy in every family, with intervals; families down the page."""
    names = list(dict.fromkeys(family for table in families.values() for family in table))
    colour, what = colours(list(families)), measure_of(key)
    with rc_context({**_STYLE, "axes.grid.axis": "x"}):
        figure, axes = _axes(4.4, 0.9 + len(names) * (0.16 + 0.11 * len(families)))
        for index, (policy, table) in enumerate(families.items()):
            offset = (index - (len(families) - 1) / 2) * 0.56 / max(1, len(families) - 1)
            for row, family in enumerate(names):
                if estimate := table.get(family, {}).get(key):
                    _dot(axes, estimate, row + offset, colour[policy])
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(axis="y", length=0, labelcolor=_INK)
        axes.set_ylim(len(names) - 0.5, -0.5)
        for row in range(1, len(names)):
            axes.axhline(row - 0.5, color=_LINE, linewidth=0.6)
        if what.share:
            axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_xlabel(what.label.lower() + (f", {what.unit}" if what.unit else ""))
        policies = ", ".join(policy_name(name) for name in families)
        return _svg(figure, f"{what.label} by family for {policies}")


def accuracies(rows: Mapping[str, Estimate], chief: str) -> Markup:
    """Shares of held-out pairs ordered rightly, one a row, against the chance line at one half."""
    with rc_context({**_STYLE, "axes.grid.axis": "x"}):
        figure, axes = _axes(4.4, 0.7 + 0.3 * len(rows))
        axes.axvline(0.5, color=_MUTED, linewidth=1, linestyle=(0, (3, 3)))
        for row, (name, estimate) in enumerate(rows.items()):
            _dot(axes, estimate, row, POLICY_COLOURS["ppo" if name == chief else "base"])
        axes.set_yticks(range(len(rows)), list(rows))
        axes.tick_params(axis="y", length=0, labelcolor=_INK)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_xlabel("of held-out pairs; dashed: chance")
        return _svg(figure, "Accuracy of " + ", ".join(rows))


def league(rows: Mapping[str, tuple[Estimate, Sequence[float]]], key: str, baseline: str) -> Markup:
    """How far every policy lies above the baseline, with its interval and a faint dot a seed."""
    what = measure_of(key)
    with rc_context({**_STYLE, "axes.grid.axis": "x"}):
        figure, axes = _axes(5.2, 0.9 + 0.22 * len(rows))
        axes.axvline(0.0, color=_MUTED, linewidth=1, linestyle=(0, (3, 3)))
        for row, (_, (above, by_seed)) in enumerate(rows.items()):
            sure = above.low > 0
            axes.plot(by_seed, [row] * len(by_seed), "o", color=_MUTED, alpha=0.5, markersize=2.5)
            _dot(axes, above, row, POLICY_COLOURS["dpo" if sure else "base"])
        axes.set_yticks(range(len(rows)), [policy_name(name) for name in rows])
        axes.tick_params(axis="y", length=0, labelcolor=_INK)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel(f"{what.label.lower()} above {policy_name(baseline)}")
        return _svg(figure, f"{what.label} of {len(rows)} policies above {policy_name(baseline)}")


def price(rows: Mapping[str, tuple[Estimate, Estimate]], key: str, baseline: str) -> Markup:
    """What every policy gained against the KL that it paid; names stand at the dots."""
    what = measure_of(key)
    names = [policy_name(name) for name in rows]
    dots = [(math.sqrt(max(0.0, kl.mean)), above.mean) for kl, above in rows.values()]
    with rc_context(_STYLE):
        figure, axes = _axes(5.2, 3.6)
        for x, y in dots:
            axes.plot([x], [y], "o", color=POLICY_COLOURS["sft"], markersize=4)
        axes.axhline(0.0, color=_MUTED, linewidth=1, linestyle=(0, (3, 3)))
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
                arrowprops={"arrowstyle": "-", "lw": 0.4, "color": _MUTED, "shrinkB": 2},
            )  # fmt: skip
        return _svg(figure, f"{what.label} of {len(rows)} policies against their KL")


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


def proxy_gold(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[float]]], x_label: str
) -> list[Markup]:
    """Proxy and gold reward against the distance gone (Gao et al. 2023), a figure a stage.

    Args:
        curves: stage -> (x, proxy, gold), in the order of training.
        x_label: what x is.

    The figures share their vertical axis; the horizontal ones do not, since a run off the leash
    goes thirty times as far.
    """
    every_y = [y for _, proxy, gold in curves.values() for ys in (proxy, gold) for y in ys]
    pad = 0.05 * (max(every_y) - min(every_y) or 1.0)
    figures = []
    for stage, (x, proxy, gold) in curves.items():
        with rc_context(_STYLE):
            figure, axes = _axes(4.2, 2.9)
            for name, y, colour in (
                ("proxy", proxy, PROXY_COLOUR),
                ("gold", gold, GOLD_COLOUR),
            ):
                axes.scatter(x, y, s=5, color=colour, alpha=0.3, linewidths=0)
                axes.plot(smooth(x), smooth(y), color=colour, linewidth=1.8, label=name)
            axes.set_xlim(left=0.0)
            axes.set_ylim(min(every_y) - pad, max(every_y) + pad)
            axes.set_title(policy_name(stage))
            axes.set_xlabel(x_label)
            axes.set_ylabel("mean score")
            axes.legend(loc="best")
            figures.append(_svg(figure, f"Proxy and gold reward of {stage} against {x_label}"))
    return figures


def learning(panel: Panel, colour: Mapping[str, str]) -> Markup:
    """What passes a check, against the samples drawn: lines on training prompts, dots with
    intervals on held-out ones afterwards, dashed levels where they began.
    """
    ends = max(line.drawn[-1] for line in panel.lines.values())
    told = []
    with rc_context(_STYLE):
        figure, axes = _axes(4.2, 2.9)
        for name, start in panel.starts.items():
            label = f"{policy_name(name)}, held out"
            axes.axhline(start.mean, color=colour[name], lw=1.2, ls=(0, (4, 3)), label=label)
            told.append(f"{policy_name(name)} {start.mean:.2f} held out")
        for place, (name, line) in enumerate(panel.lines.items()):
            ink, passed = colour[name], smooth(line.passed)
            axes.plot(line.drawn, line.passed, color=ink, alpha=0.3, linewidth=0.8)
            axes.plot(line.drawn, passed, color=ink, linewidth=1.8, label=policy_name(name))
            told.append(f"{policy_name(name)} from {passed[0]:.2f} to {passed[-1]:.2f}")
            if line.right:
                style: dict[str, Any] = {"color": ink, "linewidth": 1.4, "linestyle": (0, (1, 1.5))}
                label = f"{policy_name(name)}, right answers"
                axes.plot(line.drawn, smooth(line.right), label=label, **style)
                told.append(f"right answers {line.right[0]:.2f} to {line.right[-1]:.2f}")
            if line.heldout:
                at = ends * (1.04 + 0.04 * place)
                axes.plot([at, at], [line.heldout.low, line.heldout.high], color=ink, linewidth=1.6)
                axes.plot([at], [line.heldout.mean], "o", color=ink, markersize=4.5)
                told.append(f"{line.heldout.mean:.2f} held out")
        axes.set_xlim(left=0.0)
        axes.set_ylim(-0.02, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_title(panel.title)
        axes.set_xlabel("samples drawn")
        figure.legend(loc="outside lower left", ncols=2)
        return _svg(figure, f"{panel.title}, against samples drawn: {', '.join(told)}")


def _dot(axes: Axes, estimate: Estimate, row: float, colour: str) -> None:
    if math.isfinite(estimate.low) and math.isfinite(estimate.high):
        axes.plot([estimate.low, estimate.high], [row, row], color=colour, linewidth=1.6)
    if math.isfinite(estimate.mean):
        axes.plot([estimate.mean], [row], "o", color=colour, markersize=4.5)


def _axes(
    width: float, height: float, layout: Literal["constrained"] | None = "constrained"
) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasSVG(figure)
    return figure, figure.subplots()


def _svg(figure: Figure, description: str) -> Markup:
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
