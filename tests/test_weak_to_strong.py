"""The shipped recipe on a smaller world: a stronger model makes more of weak labels than they say.

Supervisor, students and ceiling are told apart on held-out pairs that the gold reward judges.
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
def test_a_student_goes_beyond_its_supervisor(tmp_path: Path) -> None:
    run = Run(load_recipe("weak_to_strong", SMALLER), tmp_path / "run")
    run_recipe(run, say=lambda line: None)
    summary = run.stage("weak_to_strong").done_summary()
    print(summary)
    accuracy = {name: found["mean"] for name, found in summary["accuracy"].items()}
    assert summary["gap"]["low"] > 0.03
    assert accuracy["student"] > accuracy["weak"] - 0.02
    assert accuracy["confident"] > accuracy["weak"] - 0.02
