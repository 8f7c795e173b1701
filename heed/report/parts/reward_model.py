"""How well the reward model orders held-out pairs, and how well any model of these labels could."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from markupsafe import Markup

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
    """Shares of held-out pairs ordered rightly, against chance."""
    inks = dict.fromkeys(rows, figures.POLICY_COLOURS["base"])
    inks[ROWS["accuracy"]] = figures.POLICY_COLOURS["ppo"]
    return figures.listed(
        {name: (found, inks[name]) for name, found in rows.items()},
        label="of held-out pairs; dashed: chance",
        description="Accuracy of " + ", ".join(rows),
        share=True,
        level=0.5,
    )
