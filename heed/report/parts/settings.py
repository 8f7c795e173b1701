"""Settings and versions: all that is needed to make the run again."""

from __future__ import annotations

from pathlib import Path

from heed.report.part import Part
from heed.report.read import RunView


def read(_: Path, view: RunView) -> Part | None:
    """From the recipe and the run's provenance."""
    return Part(
        name="settings",
        question="appendix",
        title="Settings and versions",
        template="parts/settings.html",
        values={
            "seed": view.recipe.get("seed", "unknown"),
            "provenance": view.provenance,
            "recipe": view.recipe_text,
        },
        json=None,
    )
