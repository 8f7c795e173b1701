"""Several reward models of one run stand beside each other where they were measured alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from heed.report.parts import reward_model
from heed.report.read import RunView, StageView
from heed.stats.intervals import Estimate


def stage(name: str, mean: float, comparisons: str, done: bool = True) -> StageView:
    found = {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "n": 50}
    return StageView(
        name=name, kind="reward", done=done, seconds=1.0, memory=None, tokens=None,
        summary={"accuracy": found}, rows=[], settings={"comparisons": comparisons},
    )  # fmt: skip


def figure_of(*stages: StageView, shown: float) -> str:
    view = RunView("r", {}, "", {}, list(stages))
    view.reward_model = {"accuracy": Estimate(shown, shown - 0.1, shown + 0.1, 50)}
    part = reward_model.read(Path(), view)
    assert part is not None
    values: dict[str, Any] = dict(part.values)
    return str(values["figure"])


def test_another_model_on_the_same_comparisons_has_a_row() -> None:
    small, large = stage("small", 0.55, "records"), stage("large", 0.62, "records")
    page = figure_of(small, large, shown=0.62)
    assert "Reward model &#39;small&#39;" in page or "Reward model 'small'" in page
    assert "'large'" not in page


def test_what_was_measured_elsewhere_or_is_not_done_has_none() -> None:
    own = stage("own", 0.62, "records")
    page = figure_of(
        stage("weak", 0.55, "truth"), stage("late", 0.5, "records", False), own, shown=0.62
    )
    assert "weak" not in page
    assert "late" not in page
