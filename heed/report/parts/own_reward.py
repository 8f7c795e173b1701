"""What each policy gained by the reward it was trained on, beside what it gained by gold."""

from __future__ import annotations

from pathlib import Path

from heed.report import figures
from heed.report.part import Part
from heed.report.read import RunView


def read(_: Path, view: RunView) -> Part | None:
    """From what the evaluations measured, where gold is known."""
    if not view.own_reward:
        return None
    return Part(
        name="gain_by_own_reward",
        question="trust",
        title="Does the reward still mean what it says?",
        template="parts/own_reward.html",
        values={
            "own_reward": view.own_reward,
            "colours": figures.colours(list(view.policies)),
        },
        json=None,
    )
