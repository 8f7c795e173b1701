"""How well the reward model orders held-out pairs, and how well any model of these labels could."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.ticker import PercentFormatter

from heed.report import figures
from heed.report.part import Part
from heed.report.read import RunView
from heed.stats.intervals import Estimate

ROWS = {"accuracy": "Reward model", "noise_ceiling": "Noise ceiling"}
BASELINES = {"length": "Length alone", "tfidf": "Words alone (TF-IDF)"}


def read(_: Path, view: RunView) -> Part | None:
    """From what reward stages left, and the evaluation of it."""
    rows = {BASELINES.get(name, name): found for name, found in view.baselines.items()}
    rows |= {
        label: view.reward_model[key] for key, label in ROWS.items() if key in view.reward_model
    }
    if not rows:
        return None
    return Part(
        name="accuracy",
        question="trust",
        title="The reward model",
        template="parts/reward_model.html",
        values={
            "accuracy": view.reward_model.get("accuracy"),
            "ceiling": view.reward_model.get("noise_ceiling"),
            "corrected": view.reward_model.get("chance_corrected"),
            "figure": _figure(rows),
        },
        json=None,
    )


def _figure(rows: Mapping[str, Estimate]) -> Markup:
    """Shares of held-out pairs ordered rightly, one a row, against the chance line at one half."""
    with rc_context({**figures.STYLE, "axes.grid.axis": "x"}):
        figure, axes = figures.axes(4.4, 0.7 + 0.3 * len(rows))
        axes.axvline(0.5, color=figures.MUTED, linewidth=1, linestyle=(0, (3, 3)))
        for row, (name, estimate) in enumerate(rows.items()):
            ink = figures.POLICY_COLOURS["ppo" if name == ROWS["accuracy"] else "base"]
            figures.dot(axes, estimate, row, ink)
        figures.named(axes, list(rows))
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_xlabel("of held-out pairs; dashed: chance")
        return figures.svg(figure, "Accuracy of " + ", ".join(rows))
