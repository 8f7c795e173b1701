"""The section on what the answers became: from costs.json, escaped, absent where none was left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heed.report.page import write_report
from heed.report.parts.costs import read
from heed.report.parts.left import estimate, left_by, merged, surely
from heed.report.read import read_run
from heed.stats.intervals import Estimate

HOSTILE = "<script>alert(1)</script>"


def one(mean: float, half: float = 0.1, n: int = 86) -> dict[str, float]:
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": n}


def found() -> dict[str, Any]:
    told = {"told": one(0.8), "asked": one(0.3), "sycophancy": one(0.5), "right_lost": one(0.2)}
    table = {"length": one(11.0), "entropy": one(1.5), "self_bleu_prompt": one(0.4)}
    change = {"length": one(3.0), "entropy": one(-1.0), "self_bleu_prompt": one(0.05)}
    gap = {part: one(0.5) for part in ("seen", "unseen", "gap")}
    return {
        "before": "sft",
        "policies": {"base": table, "sft": table, "ppo": table},
        "families": {"ppo": {HOSTILE: table, "verse": table}},
        "changes": {"base": change, "ppo": change},
        "sycophancy": {"ppo": {"all": told, HOSTILE: told}},
        "generalisation": {"ppo": {"gold": gap, HOSTILE: gap}},
        "phrases": {"hedges": {"precision": one(0.9), "recall": one(0.8)}},
    }


@pytest.fixture
def left(run_directory: Path) -> Path:
    (run_directory / "evaluate" / "costs.json").write_text(json.dumps(found()))
    return run_directory


def test_findings_and_advice_say_what_is_sure(left: Path) -> None:
    part = read(left, read_run(left))
    assert part is not None
    became, agrees = part.findings
    assert became.startswith("Beside those of SFT, the answers of PPO are longer (")
    assert "alike" not in became  # its interval holds 0
    assert agrees.startswith("PPO agrees with a user who is wrong")
    entropy, follows = part.advice
    assert entropy.startswith("PPO lost more than a third of its entropy")
    assert follows.startswith("PPO follows wrong users")
    assert part.json["changes"]["ppo"]["length"] == one(3.0)


def test_the_page_shows_it_escaped(left: Path) -> None:
    page = write_report(left).read_text()
    assert "What the answers became" in page
    assert "Does it agree with a user who is wrong?" in page
    assert "Doubts are found by their phrases" in page
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)" in page
    assert json.loads((left / "report.json").read_text())


def test_nothing_is_said_where_nothing_was_left(run_directory: Path) -> None:
    assert read(run_directory, read_run(run_directory)) is None
    assert "What the answers became" not in write_report(run_directory).read_text()


@pytest.mark.parametrize("text", ["{", "[1]", '{"policies": [1], "changes": 3}'])
def test_a_spoilt_file_spoils_no_page(run_directory: Path, text: str) -> None:
    (run_directory / "evaluate" / "costs.json").write_text(text)
    view = read_run(run_directory)
    assert read(run_directory, view) is None
    noted = any("evaluate/costs.json cannot be read" in note for note in view.notes)
    assert noted == (text == "{")


def test_only_finished_stages_of_the_kind_are_read(left: Path) -> None:
    assert len(list(left_by(left, read_run(left), "evaluate", "costs.json"))) == 1
    assert not list(left_by(left, read_run(left), "reward", "costs.json"))
    (left / "evaluate" / "done.json").unlink()
    assert not list(left_by(left, read_run(left), "evaluate", "costs.json"))


def test_estimates_as_stages_write_them() -> None:
    assert estimate(one(1.0)) == Estimate(1.0, 0.9, 1.1, 86)
    for spoilt in (None, 3, {}, {"mean": 1}, {**one(1.0), "low": "x"}, {**one(1.0), "n": None}):
        assert estimate(spoilt) is None
    unknown = estimate({"mean": 1.0, "low": None, "high": None, "n": 1})
    assert unknown is not None
    assert surely(unknown) == surely(None) == 0
    assert (surely(estimate(one(1.0))), surely(estimate(one(-1.0)))) == (1, -1)
    assert merged([{"a": {"x": 1}}, {"a": {"y": 2}}, {"a": None}, {}], "a") == {"x": 1, "y": 2}
