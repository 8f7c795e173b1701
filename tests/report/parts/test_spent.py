from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heed.report.page import write_report
from heed.report.parts.spent import read, short
from heed.report.read import read_run

RECIPE = """\
name: paid
stages:
- collect: {source: people, people: {pay_per_hour: 30.0, currency: EUR}}
- ppo: {}
- dpo: {}
- report: {}
"""
KEYS = {"collect": "a", "ppo": "b", "dpo": "c", "report": "d"}


def plan_of(name: str, **more: Any) -> dict[str, Any]:
    nothing: dict[str, Any] = dict.fromkeys(
        ("trained", "forwarded", "sampled", "labels", "flops"), 0
    )
    return {"name": name, **nothing, "memory": 2**20, "seconds": None, "minutes": None, **more}


PLANS = [
    plan_of("collect", sampled=1000, labels=40, minutes=30.0, flops=1e9, seconds=[5, 10]),
    plan_of("ppo", trained=1000, forwarded=500, sampled=500, flops=4e9, seconds=[50, 400]),
    plan_of("dpo", trained=500, flops=1e9, seconds=[10, 20]),
]


def mark(run: Path, stage: str, kind: str, seconds: float, **more: Any) -> None:
    (run / stage).mkdir(exist_ok=True)
    marker = {"key": KEYS[stage], "kind": kind, "seconds": seconds, "memory": 3 * 2**20}
    (run / stage / "done.json").write_text(json.dumps({**marker, "summary": {}, **more}))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "keys.json").write_text(json.dumps(KEYS))
    (tmp_path / "plan.json").write_text(json.dumps({"stages": PLANS, "keys": KEYS}))
    mark(
        tmp_path, "collect", "collect", 10.0,
        spent={"sampled": 1500, "flops": 1.5e9, "answers": 80, "joules_processors": 1800.0},
        summary={"annotations": 36, "minutes": 24.0},
    )  # fmt: skip
    mark(
        tmp_path, "ppo", "ppo", 85.0,
        spent={"trained": 1100, "forwarded": 600, "sampled": 300, "flops": 5e9},
    )  # fmt: skip
    mark(tmp_path, "dpo", "dpo", 5.0, spent={"trained": 500, "flops": 1e9})
    return tmp_path


def part(run: Path) -> Any:
    found = read(run, read_run(run))
    assert found is not None
    return found


def test_a_run_that_finished_nothing_took_nothing(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    assert read(tmp_path, read_run(tmp_path)) is None


def test_each_figure_stands_beside_what_was_planned(run: Path) -> None:
    found = part(run)
    assert found.question == "cost"
    ppo = found.values["rows"][1]
    assert (ppo["tokens"].spent, ppo["tokens"].planned) == ("2 k", "planned 2 k, ×1.00")
    assert (ppo["flops"].spent, ppo["flops"].planned) == ("5 G", "planned 4 G, ×1.25")
    assert ppo["seconds"].spent == "85.0 s"
    assert ppo["seconds"].planned == "planned 0.8 to 6.7 min"
    assert (ppo["memory"].spent, ppo["memory"].planned) == ("3 MiB", "planned 1 MiB, ×3.00")
    total = found.values["total"]
    assert total["tokens"].planned == "planned 3.5 k, ×1.14"
    assert total["seconds"].spent == "1 min 40 s"
    assert found.findings == (
        "It took 1 min 40 s, 85% of it PPO, and 4 k tokens, 1.14 times what was planned.",
    )


def test_labels_are_minutes_and_money(run: Path) -> None:
    (said,) = part(run).values["labels"]
    assert said == (
        "Comparisons: 36 labels (40 planned), 0.4 hours of time (0.5 planned), 40.0 s a label, "
        "12.00 EUR."
    )
    (run / "recipe.yaml").write_text(RECIPE.replace("people, people: {", "simulated, people: {"))
    (said,) = part(run).values["labels"]
    assert "of simulated people's time" in said
    assert "EUR" not in said


def test_energy_is_told_where_it_was_counted(run: Path) -> None:
    (said,) = part(run).values["energy"]
    assert said.startswith("0.0005 kWh in 1 of the stages by the processors' counters")


def test_a_plan_of_other_settings_is_none_of_this_stage(run: Path) -> None:
    (run / "plan.json").write_text(
        json.dumps({"stages": PLANS, "keys": {**KEYS, "ppo": "another"}})
    )
    rows = {row["stage"]: row for row in part(run).values["rows"]}
    assert rows["ppo"]["tokens"].planned == ""
    assert rows["dpo"]["tokens"].planned == "planned 500, ×1.00"
    assert part(run).values["total"]["tokens"].planned == ""


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"stages": [{}], "keys": {}}', '{"stages": 3}'])
def test_a_plan_that_cannot_be_read_is_none(run: Path, text: str) -> None:
    (run / "plan.json").write_text(text)
    found = part(run)
    assert not found.values["planned"]
    assert found.values["rows"][0]["tokens"].spent == "1.5 k"


def test_an_older_run_shows_what_it_knows(run: Path) -> None:
    mark(run, "dpo", "dpo", 5.0, summary={"tokens": 700}, memory=None)
    dpo = part(run).values["rows"][2]
    assert (dpo["tokens"].spent, dpo["flops"].spent) == ("700", "")
    assert dpo["memory"].planned == "planned 1 MiB"


def test_the_page_has_bars_and_a_table(run: Path) -> None:
    page = write_report(run).read_text()
    assert "What the run took" in page
    assert 'aria-label="Time by stage: Comparisons 10.0 s, 10%, PPO 85.0 s, 85%' in page
    found = json.loads((run / "report.json").read_text())["spent"]
    assert [each["name"] for each in found] == ["collect", "ppo", "dpo"]
    assert found[0]["spent"]["sampled"] == 1500
    assert found[0]["planned"]["labels"] == 40


def test_short_figures() -> None:
    numbers = {12.0: "12", 999.0: "999", 1234.0: "1.23 k", 5.6e12: "5.6 T", 1e16: "10 P"}
    assert [short(each) for each in numbers] == list(numbers.values())


def test_stages_that_took_next_to_nothing_are_one_bar(run: Path) -> None:
    mark(run, "collect", "collect", 0.1)
    mark(run, "dpo", "dpo", 0.2)
    assert [bar.stage for bar in part(run).values["bars"]] == ["PPO", "All others"]
