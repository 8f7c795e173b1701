"""The part on graded conversations: from turns.json, escaped, absent where none was left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from heed.report.page import write_report
from heed.report.parts.turns import read
from heed.report.read import read_run

HOSTILE = "<script>alert(1)</script>"


def one(mean: float | None, half: float = 0.1, n: int = 40) -> dict[str, float | None]:
    if mean is None:
        return {"mean": None, "low": None, "high": None, "n": 0}
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": n}


def policy(mean: float, unparsable: int = 0) -> dict[str, Any]:
    return {
        "answers": 40,
        "unparsable": unparsable,
        "all": one(mean),
        "turns": {"1": one(mean + 0.5), "2": one(mean - 0.5)},
        "drops": {"2": one(1.0)},
        "categories": {HOSTILE: one(mean), "": one(mean)},
    }


def found(**more: Any) -> dict[str, Any]:
    decoy = {**policy(1.0), "above": one(5.25), "says": "told apart"}
    return {
        "judge": HOSTILE,
        "own": False,
        "questions": 20,
        "referenced": 3,
        "samples": 1,
        "before": "sft",
        "policies": {"sft": policy(5.0), "ppo": policy(6.25)},
        "above": {"ppo": one(1.25)},
        "best": "ppo",
        "decoys": {"constant": decoy, "empty": decoy, "injection": decoy},
        "cut": {"sft": 0.0, "ppo": 0.25},
        **more,
    }


@pytest.fixture
def left(run_directory: Path) -> Path:
    recipe = yaml.safe_load((run_directory / "recipe.yaml").read_text())
    recipe["stages"].insert(-1, {"grade_turns": {"name": "grade_turns"}})
    (run_directory / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    done = {"key": "k", "kind": "grade_turns", "seconds": 1.0, "summary": {}}
    (run_directory / "grade_turns").mkdir()
    (run_directory / "grade_turns/done.json").write_text(json.dumps(done))
    write(run_directory, found())
    return run_directory


def write(run: Path, value: Any) -> None:
    (run / "grade_turns/turns.json").write_text(json.dumps(value))


def test_the_page_has_grades_by_turn_and_category_and_escapes_them(left: Path) -> None:
    page = write_report(left).read_text()
    for text in ("Conversations, graded", "Drop from turn 1 to 2", "Above SFT", "6.25",
                 "25.0% of PPO", "Without one", "lower: the judge tells it apart",
                 "Every one of its 200 replies had a grade."):  # fmt: skip
        assert text in page, text
    assert HOSTILE not in page
    assert HOSTILE.replace("<", "&lt;").replace(">", "&gt;") in page
    assert json.loads((left / "report.json").read_text())["turns"]["questions"] == 20


def test_a_sure_difference_is_a_finding(left: Path) -> None:
    part = read(left, read_run(left))
    assert part is not None
    (finding,) = part.findings
    assert "PPO higher than SFT, by 1.25 [1.15, 1.35] of 10" in finding
    assert part.advice == ()
    write(left, found(above={"ppo": one(0.05)}))
    part = read(left, read_run(left))
    assert part is not None
    assert part.findings == ()


def test_a_fooled_judge_is_said_to_be_fooled_and_nothing_else_is_claimed(left: Path) -> None:
    fooled = {**policy(9.0), "above": one(-2.75), "says": "fooled"}
    write(left, found(decoys={"constant": policy(1.0), "injection": fooled, "empty": fooled}))
    part = read(left, read_run(left))
    assert part is not None
    (finding,) = part.findings
    assert "is fooled: it grades the injection and empty answer as high as those of PPO" in finding
    assert "Ask another judge" in part.advice[0]
    assert "as high: the judge is fooled" in write_report(left).read_text()


def test_a_judge_that_gave_no_grade_is_no_crash(left: Path) -> None:
    nothing = {**policy(1.0, unparsable=40), "all": one(None), "turns": {}, "drops": {},
               "categories": {}}  # fmt: skip
    write(left, found(policies={"sft": nothing, "ppo": nothing}, above={"ppo": one(None)},
                      best=None, decoys={"empty": nothing}))  # fmt: skip
    part = read(left, read_run(left))
    assert part is not None
    assert part.findings == ()
    assert "More than a tenth" in part.advice[0]
    assert "120 of its 120 replies had no grade" in write_report(left).read_text()


def test_nothing_left_is_no_part(left: Path) -> None:
    write(left, {})
    assert read(left, read_run(left)) is None
    (left / "grade_turns/turns.json").write_text("no JSON")
    assert read(left, read_run(left)) is None
