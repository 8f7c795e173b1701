"""Actual RL beside RLHF: what passes a check, against the samples drawn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.ticker import PercentFormatter

from heed.report import figures
from heed.report.learning import Panel, panels, sentences
from heed.report.measures import policy_name
from heed.report.part import Part
from heed.report.read import RunView


def read(_: Path, view: RunView) -> Part | None:
    """From the metrics of the stages that a check rewards; colours as on the whole page."""
    found = panels(view)
    if not found:
        return None
    names = [name for panel in found for name in (*panel.starts, *panel.lines)]
    colour = figures.colours(list(dict.fromkeys([*view.policies, *names])))
    return Part(
        name="checks",
        question="better",
        title="Actual RL beside RLHF",
        template="parts/checks.html",
        values={
            "figures": [_figure(panel, colour) for panel in found],
            "says": [says for panel in found for says in sentences(panel)],
        },
        json=None,
    )


def _figure(panel: Panel, colour: Mapping[str, str]) -> Markup:
    """Lines on training prompts, dots with intervals on held-out ones afterwards, dashed levels
    where they began.
    """
    ends = max(line.drawn[-1] for line in panel.lines.values())
    told = []
    with rc_context(figures.STYLE):
        figure, axes = figures.axes(4.2, 2.9)
        for name, start in panel.starts.items():
            label = f"{policy_name(name)}, held out"
            axes.axhline(start.mean, color=colour[name], lw=1.2, ls=(0, (4, 3)), label=label)
            told.append(f"{policy_name(name)} {start.mean:.2f} held out")
        for place, (name, line) in enumerate(panel.lines.items()):
            ink, passed = colour[name], figures.smooth(line.passed)
            axes.plot(line.drawn, line.passed, color=ink, alpha=0.3, linewidth=0.8)
            axes.plot(line.drawn, passed, color=ink, linewidth=1.8, label=policy_name(name))
            told.append(f"{policy_name(name)} from {passed[0]:.2f} to {passed[-1]:.2f}")
            if line.right:
                style: dict[str, Any] = {"color": ink, "linewidth": 1.4, "linestyle": (0, (1, 1.5))}
                label = f"{policy_name(name)}, right answers"
                axes.plot(line.drawn, figures.smooth(line.right), label=label, **style)
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
        axes.set_ylabel("share that passes")
        figure.legend(loc="outside lower left", ncols=2)
        return figures.svg(figure, f"{panel.title}, against samples drawn: {', '.join(told)}")
