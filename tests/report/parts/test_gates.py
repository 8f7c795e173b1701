from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heed.report.page import write_report
from heed.report.parts.gates import read
from heed.report.read import read_run

ROW = {
    "step": None,
    "gate": "sign",
    "statistic": 12.5,
    "threshold": 2.3,
    "false_alarms": 0.01,
    "tripped": True,
    "says": "Chosen below <b>rejected</b>.",
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "recipe.yaml").write_text("name: gated\nstages:\n- reward: {}\n- ppo: {}\n")
    for stage in ("reward", "ppo"):
        (tmp_path / stage).mkdir()
    return tmp_path


def write(run: Path, stage: str, *rows: dict[str, Any]) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (run / stage / "gates.jsonl").write_text(lines + '{"torn": ')


def test_a_run_without_gates_has_no_part(run: Path) -> None:
    assert read(run, read_run(run)) is None


def test_what_tripped_stands_at_the_top(run: Path) -> None:
    write(run, "reward", ROW)
    calm = {**ROW, "gate": "kl", "step": 40, "tripped": False, "statistic": 0.0, "says": "KL 1."}
    write(run, "ppo", {**calm, "threshold": None}, {"not": "a finding"})
    part = read(run, read_run(run))
    assert part is not None
    assert [row["stage"] for row in part.json] == ["reward", "ppo"]
    assert len(part.findings) == 1
    assert "gate sign once it was done: Chosen below" in part.findings[0]


def test_the_page_shows_and_escapes_them(run: Path) -> None:
    write(run, "reward", ROW)
    page = write_report(run).read_text()
    assert "1 of 1 tripped" in page
    assert "Chosen below &lt;b&gt;rejected&lt;/b&gt;." in page
    assert "12.50" in page
    assert json.loads((run / "report.json").read_text())["gates"][0]["gate"] == "sign"
