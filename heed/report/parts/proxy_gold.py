"""Proxy and gold reward against the distance gone (Gao et al. 2023, arXiv:2210.10760)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup
from matplotlib import rc_context

from heed.report import figures
from heed.report.measures import stage_name
from heed.report.part import Part
from heed.report.read import RunView, StageView

LOGGED = ("kl", "proxy", "gold")
PROXY_COLOUR, GOLD_COLOUR = "#3f7fbf", "#d07a2d"
X_LABEL = "√KL from the reference, √nats"
Curve = tuple[Sequence[float], Sequence[float], Sequence[float]]
"""√KL, proxy and gold, in the order of training."""


def read(_: Path, view: RunView) -> Part | None:
    """From the metrics of the stages that logged both rewards."""
    curves = {stage.name: found for stage in view.stages if (found := _curve(stage))}
    if not curves:
        return None
    return Part(
        name="proxy_gold",
        question="trust",
        title="Proxy against gold",
        template="parts/proxy_gold.html",
        values={"figures": _figures(curves)},
        json=None,
    )


def _curve(stage: StageView) -> Curve | None:
    rows = [
        [float(row[name]) for name in LOGGED]
        for row in stage.rows
        if all(row.get(name) is not None for name in LOGGED)
    ]
    if len(rows) < 2:
        return None
    kl, proxy, gold = map(list, zip(*rows, strict=True))
    return [math.sqrt(max(0.0, each)) for each in kl], proxy, gold  # a sampled KL may fall below 0


def _figures(curves: Mapping[str, Curve]) -> list[Markup]:
    """A figure a stage. They share their vertical axis; the horizontal ones they do not, since a
    run off the leash goes thirty times as far.
    """
    every_y = [y for _, proxy, gold in curves.values() for ys in (proxy, gold) for y in ys]
    pad = 0.05 * (max(every_y) - min(every_y) or 1.0)
    drawn = []
    for stage, (x, proxy, gold) in curves.items():
        with rc_context(figures.STYLE):
            figure, axes = figures.axes(4.2, 2.9)
            for name, y, colour in (("proxy", proxy, PROXY_COLOUR), ("gold", gold, GOLD_COLOUR)):
                axes.scatter(x, y, s=5, color=colour, alpha=0.3, linewidths=0)
                axes.plot(
                    figures.smooth(x), figures.smooth(y), color=colour, linewidth=1.8, label=name
                )
            axes.set_xlim(left=0.0)
            axes.set_ylim(min(every_y) - pad, max(every_y) + pad)
            axes.set_title(stage_name(stage))
            axes.set_xlabel(X_LABEL)
            axes.set_ylabel("mean score")
            axes.legend(loc="best")
            drawn.append(figures.svg(figure, f"Proxy and gold reward of {stage} against {X_LABEL}"))
    return drawn
