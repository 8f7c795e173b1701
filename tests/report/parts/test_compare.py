"""The section on comparisons: from compare.json, escaped, absent where none was left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from heed.evaluation.compared import compared
from heed.evaluation.votes import Vote
from heed.report.compare_page import write_comparison
from heed.report.page import write_report
from heed.report.parts.compare import MOST, read
from heed.report.read import read_run

HOSTILE = "<script>alert(1)</script>"


def votes(judge: str, decoy_wins: float = 0.0) -> list[Vote]:
    """PPO wins three in four of SFT and all against the base, who loses three in four to SFT."""
    made = []
    for n in range(40):
        longer = {"length": float(n % 5)}
        for left, right, score in (
            ("ppo", "sft", float(n % 4 > 0)),
            ("sft", HOSTILE, float(n % 4 > 0)),
            (HOSTILE, "ppo", float(n % 8 == 0)),
            ("decoy: constant", "sft", decoy_wins),
        ):
            made.append(
                Vote(judge, f"i{len(made)}", f"p{n}", left, right, score, differences=longer)
            )
    return made


@pytest.fixture
def found() -> dict[str, Any]:
    return compared([*votes("gold"), *votes(f"j{HOSTILE}", decoy_wins=1.0)], "sft")


@pytest.fixture
def left(run_directory: Path, found: dict[str, Any]) -> Path:
    recipe = yaml.safe_load((run_directory / "recipe.yaml").read_text())
    recipe["stages"].insert(-1, {"compare": {"name": "compare"}})
    (run_directory / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    place = run_directory / "compare"
    place.mkdir()
    marker = {"key": "k", "kind": "compare", "seconds": 1.0, "summary": {}}
    (place / "done.json").write_text(json.dumps(marker))
    (place / "compare.json").write_text(json.dumps(found))
    return run_directory


def test_findings_name_the_first_and_the_fooled(left: Path) -> None:
    part = read(left, read_run(left))
    assert part is not None
    first, fooled = part.findings
    assert first == "In blind pairs judged by gold, PPO stands first, surely above all others."
    assert "is fooled" in fooled
    assert "constant" in fooled
    assert any("before “constant” loses" in advice for advice in part.advice)
    assert part.json[0]["judges"]["gold"]["fooled_by"] == []


def test_the_page_shows_it_escaped(left: Path) -> None:
    page = write_report(left).read_text()
    assert "Against each other" in page
    assert "Wins against SFT" in page
    assert "Elo points" in page
    assert "No decoy fools gold" in page
    assert HOSTILE not in page


def test_a_file_of_another_kind_is_left_out_and_said(left: Path) -> None:
    for content in ('{"judges": {"gold": 3}, "baseline": null}', "{}", "[]", "no JSON"):
        (left / "compare" / "compare.json").write_text(content)
        view = read_run(left)
        assert read(left, view) is None
        assert view.notes or content == "[]"


def test_no_comparison_no_section(run_directory: Path) -> None:
    assert read(run_directory, read_run(run_directory)) is None


def test_how_a_judge_behaved_in_both_orders(tmp_path: Path, found: dict[str, Any]) -> None:
    tally = {"judged": 50, "unparsable": 10, "consistency": 0.75, "first": 9, "second": 1}
    accounts = {"gold": {"judge": tally}}
    page = write_comparison(tmp_path, {**found, "accounts": accounts}, "A").read_text()
    assert "says the same in 75% of 40 pairs" in page
    assert "10 pairs got no verdict" in page


def test_a_page_of_its_own(tmp_path: Path, found: dict[str, Any]) -> None:
    page = write_comparison(tmp_path / "new", found, f"A {HOSTILE}", ["a note"]).read_text()
    assert HOSTILE not in page
    assert "a note" in page
    assert json.loads((tmp_path / "new" / "compare.json").read_text())["notes"] == ["a note"]


def test_many_contestants_stand_below_each_other(tmp_path: Path) -> None:
    names = [f"model {n}" for n in range(MOST + 1)]
    made = [
        Vote("people", f"{a} {b} {n}", f"p{n}", a, b, float(n % 2))
        for a in names for b in names if a < b for n in range(4)
    ]  # fmt: skip
    page = write_comparison(tmp_path, compared(made), "Many").read_text()
    assert all(f"<tr><th>{name}</th>" in page for name in names)
    assert "Every two" not in page
