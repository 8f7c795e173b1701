"""The curves of every training."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.ticker import MaxNLocator

from heed.report import figures
from heed.report.measures import CURVES, METRICS, measure_of
from heed.report.part import Part
from heed.report.read import RunView, StageView

MOST = 6
"""Metrics that are drawn of a kind of stage that is not known."""


def read(_: Path, view: RunView) -> Part | None:
    """From the stages' metrics."""
    curves = [(stage, drawn) for stage in view.stages if (drawn := _curves(stage))]
    if not curves:
        return None
    return Part(
        name="training",
        question="appendix",
        title="Training",
        template="parts/training.html",
        values={"curves": curves},
        json=None,
    )


def _curves(stage: StageView) -> list[Markup]:
    """The stage's metrics that matter; of an unknown kind the first that are numbers."""
    logged = dict.fromkeys(name for row in stage.rows for name in row)
    unknown = [(name,) for name in logged if name not in ("stage", "step")][:MOST]
    drawn = []
    for group in CURVES.get(stage.kind) or unknown:
        found = next((name for name in group if len(stage.series(name)[0]) > 1), None)
        if found:
            drawn.append(_curve(stage, found))
    return drawn


def _curve(stage: StageView, name: str) -> Markup:
    """One metric over the steps: every row faint, the smoothed line over it."""
    metric = METRICS.get(name) or measure_of(name)
    steps, values = stage.series(name)
    with rc_context(figures.STYLE):
        figure, axes = figures.axes(3.3, 2.0, layout=None)
        # Fixed margins: there are dozens of these, and fitting each takes most of its time.
        figure.subplots_adjust(left=0.22, right=0.95, top=0.88, bottom=0.24)
        axes.margins(x=0)
        axes.plot(steps, values, color=figures.MUTED, alpha=0.35, linewidth=0.8)
        axes.plot(steps, figures.smooth(values), color=figures.POLICY_COLOURS["sft"], linewidth=1.6)
        axes.set_title(metric.label)
        axes.set_xlabel("step")
        axes.set_ylabel(metric.unit or "value")
        axes.yaxis.set_label_coords(-0.23, 0.5)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        ends = f"from {values[0]:.3g} to {values[-1]:.3g}"
        return figures.svg(figure, f"{stage.name}: {metric.label} over steps, {ends}")
