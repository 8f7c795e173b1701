"""The figure of what checks teach: who is in it, against what, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from heed.report.learning import Panel, panels, sentences
from heed.report.page import parts_of, render
from heed.report.read import RunView, read_run

STAGES: list[dict[str, Any]] = [
    {"correct": {"name": "sums", "families": ["arithmetic"]}},
    {"metre": {"name": "metre", "families": ["verse"]}},
    {"length": {"name": "brief", "most": 9}},
    {"grpo": {"name": "grpo", "reward": "sums", "families": ["arithmetic"], "rollouts": 128}},
    {"ppo": {"name": "judged", "reward": "reward", "families": ["arithmetic"], "rollouts": 64}},
    {"ppo": {"name": "everything", "reward": "reward", "families": [], "rollouts": 64}},
    {"rejection": {"name": "poet", "reward": "metre", "families": ["verse"],
                   "prompts": 32, "candidates": 4}},
    {"rloo": {"name": "short", "reward": "brief", "families": ["verse"], "rollouts": 64}},
]  # fmt: skip
POLICIES = {"sft": "sft", "grpo": "grpo", "ppo": "judged", "verse": "poet"}
ENDS = {"grpo": (0.6, 0.9), "judged": (0.6, 0.7), "everything": (0.5, 0.6), "poet": (0.2, 0.9)}


def share(mean: float) -> dict[str, Any]:
    return {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "n": 120}


@pytest.fixture
def view(tmp_path: Path) -> RunView:
    evaluate = {"evaluate": {"policies": POLICIES, "also": {"scans": "metre"}}}
    stages = [{name: {"policy": "sft", **each} for name, each in stage.items()} for stage in STAGES]
    recipe = {"name": "checked", "stages": [{"sft": None}, *stages, evaluate]}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    rows = [
        {"stage": stage, "step": step, "proxy": low + (high - low) * step / 20, "correct": 0.25,
         **({"correct": low + (high - low) * step / 20} if stage != "poet" else {})}
        for stage, (low, high) in ENDS.items()
        for step in range(1, 21)
    ]  # fmt: skip
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    right = {"sft": 0.5, "grpo": 0.8, "ppo": 0.55, "verse": 0.5}
    families = {
        name: {"arithmetic": {"correct": share(value)}, "verse": {"scans": share(1 - value)}}
        for name, value in right.items()
    }
    measures = {"policies": {name: {} for name in right}, "families": families}
    for stage in ("sft", "evaluate"):
        (tmp_path / stage).mkdir()
        (tmp_path / stage / "done.json").write_text('{"key": "k", "summary": {}}')
    (tmp_path / "evaluate" / "measures.json").write_text(json.dumps(measures))
    return read_run(tmp_path)


def rendered(view: RunView) -> str:
    """The page of what is read; nothing here lies in files."""
    return render(view, parts_of(Path("nowhere"), view))


@pytest.fixture
def found(view: RunView) -> list[Panel]:
    return panels(view)


def test_who_asked_the_same_prompts_stands_side_by_side(found: list[Panel]) -> None:
    sums, verse = found
    assert (sums.title, verse.title) == ("Right answers: arithmetic", "Metre: verse")
    assert list(sums.lines) == ["grpo", "ppo"]
    assert [line.reward for line in sums.lines.values()] == ["sums", "reward"]
    assert list(verse.lines) == ["verse"]


def test_what_was_drawn_and_what_passed(found: list[Panel]) -> None:
    sums, verse = found
    assert sums.lines["grpo"].drawn == [128.0 * step for step in range(1, 21)]
    assert sums.lines["ppo"].drawn[-1] == 64 * 20
    assert verse.lines["verse"].drawn[-1] == 32 * 4 * 20
    assert sums.lines["ppo"].passed[-1] == pytest.approx(0.7)
    assert verse.lines["verse"].passed[-1] == pytest.approx(0.9)
    assert sums.lines["grpo"].right == []
    assert verse.lines["verse"].right == [0.25] * 20


def test_held_out_prompts_before_and_after(found: list[Panel]) -> None:
    sums, verse = found
    assert sums.starts["sft"].mean == verse.starts["sft"].mean == 0.5
    assert sums.lines["grpo"].heldout is not None
    assert sums.lines["grpo"].heldout.mean == 0.8
    before = "Right answers: arithmetic, held out: SFT 50.0% [40.0, 60.0] before; "
    assert sentences(sums) == [
        f"{before}GRPO 80.0% [70.0, 90.0] after 2,560 samples rewarded by sums.",
        f"{before}PPO 55.0% [45.0, 65.0] after 1,280 samples rewarded by reward model.",
    ]


def test_the_page_shows_and_says_it(view: RunView) -> None:
    page = rendered(view)
    assert "Actual RL beside RLHF" in page
    assert "GRPO 80.0% [70.0, 90.0] after 2,560 samples rewarded by sums" in page
    assert (
        'aria-label="Right answers: arithmetic, against samples drawn: SFT 0.50 held out, '
        "GRPO from 0.6" in page
    )
    assert page.count("right answers 0.25 to 0.25") == 1
    assert "GRPO, right answers" not in page
    assert "verse, right answers" in page


def test_right_answers_are_left_out_where_some_steps_did_not_log_them(view: RunView) -> None:
    poet = next(stage for stage in view.stages if stage.name == "poet")
    poet.rows[3]["correct"] = None
    assert panels(view)[1].lines["verse"].right == []
    assert "verse, right answers" not in rendered(view)


def test_what_was_not_evaluated_is_called_by_its_stage(view: RunView) -> None:
    view.stages = [stage for stage in view.stages if stage.kind != "evaluate"]
    sums, _ = panels(view)
    assert list(sums.lines) == ["grpo", "judged"]
    assert (sums.starts, sums.lines["grpo"].heldout, sentences(sums)) == ({}, None, [])
    assert "Actual RL beside RLHF" in rendered(view)


def test_of_all_prompts_the_policys_own_figure_counts(view: RunView) -> None:
    for stage in view.stages:
        if stage.name in ("sums", "grpo"):
            stage.settings["families"] = []
    view.policies["grpo"] = {"correct": view.families["grpo"]["arithmetic"]["correct"]}
    (panel, _) = panels(view)
    assert panel.title == "Right answers: all prompts"
    assert list(panel.lines) == ["grpo", "everything"]
    assert panel.lines["grpo"].heldout == view.policies["grpo"]["correct"]
    for stage in view.stages:
        stage.settings["families"] = ["arithmetic", "verse"]
    assert all(line.heldout is None for panel in panels(view) for line in panel.lines.values())


def test_a_run_without_checks_has_no_such_figure(view: RunView) -> None:
    view.stages = [stage for stage in view.stages if stage.kind not in ("correct", "metre")]
    assert panels(view) == []
    assert "Actual RL" not in rendered(view)
