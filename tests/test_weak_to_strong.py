"""The shipped recipe on a smaller world: there is a gap, and the students stand within it.

Supervisor, students and ceiling are told apart on held-out pairs that the gold reward judges. How
much of the gap is recovered, and whether the confidence loss helps, differs from run to run.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from heed.config import load_recipe
from heed.pipeline import run_recipe
from heed.run import Run

SMALLER = [
    *("threads=1", "records.corpus=8000", "first.heldout=100"),
    *("second.comparisons=2000", "second.heldout=2000"),
]


@pytest.mark.slow
def test_students_stand_between_their_supervisor_and_the_ceiling(tmp_path: Path) -> None:
    run = Run(load_recipe("weak_to_strong", SMALLER), tmp_path / "run")
    run_recipe(run, say=lambda line: None)
    summary = run.stage("weak_to_strong").done_summary()
    accuracy = {name: found["mean"] for name, found in summary["accuracy"].items()}
    assert summary["gap"]["low"] > 0.05
    for name in ("student", "confident"):
        assert accuracy["weak"] - 0.05 < accuracy[name] < accuracy["ceiling"] - 0.05
