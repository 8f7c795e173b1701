"""How well the reward model orders held-out pairs, and how well any model of these labels could."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from markupsafe import Markup

from heed.report import figures
from heed.report.estimates import estimate
from heed.report.part import Part
from heed.report.read import RunView
from heed.stats.intervals import Estimate

ROWS = {"accuracy": "Reward model", "noise_ceiling": "Noise ceiling"}
LEARNED = ("reward", "ensemble")
BASELINES = {"length": "Length alone", "tfidf": "Words alone (TF-IDF)"}


def read(_: Path, view: RunView) -> Part | None:
    """From what reward stages left, and the evaluation of it."""
    rows = {BASELINES.get(name, name): found for name, found in view.baselines.items()}
    rows |= _others(view)
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


def _others(view: RunView) -> dict[str, Estimate]:
    """Reward models beside the one that the page speaks of, on the same held-out comparisons."""
    shown, found = view.reward_model.get("accuracy"), {}
    learned = [stage for stage in view.stages if stage.kind in LEARNED and stage.done]
    accuracies = {stage.name: estimate(stage.summary.get("accuracy")) for stage in learned}
    own = next((stage for stage in learned if accuracies[stage.name] == shown), None)
    for stage in learned:
        accuracy = accuracies[stage.name]
        alike = own is not None and stage.settings.get("comparisons") == own.settings.get(
            "comparisons"
        )
        if accuracy is not None and stage is not own and alike:
            found[f"Reward model {stage.name!r}"] = accuracy
    return found


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
