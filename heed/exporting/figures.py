"""The card's figures, as PNG: the curves of the stage's training, and how far each policy lies
above the one to beat.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from heed.report.figures import MUTED, POLICY_COLOURS, STYLE, colours, dot, named, smooth
from heed.report.measures import CURVES, METRICS, label_of, measure_of, policy_name
from heed.report.read import Gap, RunView, StageView

FOLDER = "figures"
TRAINING, BETTER = "training.png", "better.png"
COLUMNS = 3
DPI = 150
LONGEST = 32
"""Letters of a policy's name in a figure."""
PAPER: Mapping[str, Any] = {**STYLE, "figure.facecolor": "white", "savefig.facecolor": "white"}


def draw(view: RunView, stage: StageView, gaps: list[Gap], folder: Path) -> dict[str, str]:
    """Draw what there is into a folder; gives each file's name and what it shows."""
    drawn = {}
    groups = CURVES.get(stage.kind, ())
    logged = [
        found
        for group in groups
        if (found := next((name for name in group if len(stage.series(name)[0]) > 1), None))
    ]
    if logged:
        _training(stage, logged, folder / TRAINING)
        drawn[TRAINING] = f"Training of {stage.name}: {', '.join(map(_label, logged))} over steps."
    known = [gap for gap in gaps if math.isfinite(gap.difference.mean)]
    if known:
        _better(view, known, folder / BETTER)
        drawn[BETTER] = (
            f"{measure_of(known[0].measure).label}: each policy minus {policy_name(known[0].worse)}"
            " on held-out prompts, with 95% intervals."
        )
    return drawn


def _training(stage: StageView, names: list[str], path: Path) -> None:
    """A grid of curves: every step faint, the smoothed line over it."""
    rows = math.ceil(len(names) / COLUMNS)
    with rc_context(dict(PAPER)):
        figure = _figure(3.2 * min(COLUMNS, len(names)), 2.2 * rows)
        grid = figure.subplots(rows, min(COLUMNS, len(names)), squeeze=False).ravel()
        for axes, name in zip(grid, names, strict=False):
            steps, values = stage.series(name)
            metric = METRICS.get(name) or measure_of(name)
            axes.plot(steps, values, color=MUTED, alpha=0.35, linewidth=0.8)
            axes.plot(steps, smooth(values), color=POLICY_COLOURS["sft"], linewidth=1.6)
            axes.set_title(metric.label)
            axes.set_xlabel("step")
            axes.set_ylabel(metric.unit or "value")
            axes.yaxis.set_major_locator(MaxNLocator(5))
        for axes in grid[len(names) :]:
            axes.set_visible(False)
        _save(figure, path)


def _better(view: RunView, gaps: list[Gap], path: Path) -> None:
    """A dot a policy, its interval, and a line where there is no difference."""
    what = measure_of(gaps[0].measure)
    colour = colours([label_of(name) for name in view.policies])
    with rc_context({**PAPER, "axes.grid.axis": "x"}):
        figure = _figure(5.0, 0.9 + 0.35 * len(gaps))
        axes = figure.subplots()
        axes.axvline(0, color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
        for row, gap in enumerate(gaps):
            dot(axes, gap.difference, row, colour.get(label_of(gap.better), MUTED))
        named(axes, [_short(gap.better) for gap in gaps])
        unit = f", {what.unit}" if what.unit else ""
        axes.set_xlabel(f"{what.label}{unit}: difference from {_short(gaps[0].worse)}")
        _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        # No clock and no version: the same run gives the same bytes.
        figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None})


def _short(policy: str) -> str:
    """A policy's name, cut where it would take the figure's room."""
    name = policy_name(policy)
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _label(name: str) -> str:
    return (METRICS.get(name) or measure_of(name)).label.lower()
