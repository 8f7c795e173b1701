"""`heed plan`, and the plan that a run keeps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from heed.cli.main import app
from heed.cli.plan import WIDTHS, count, times
from heed.config import load_recipe
from heed.planning.passes import HOWS
from heed.planning.spent import spent_by
from heed.run import Run
from heed.stages import planned
from heed.stages.planned import keep_plan

WIDE = 80


@pytest.fixture
def heed(monkeypatch: pytest.MonkeyPatch, tiny_settings: list[str]) -> Callable[..., Result]:
    """The verb on quickstart in miniature; the machine is tried for no time."""
    monkeypatch.setattr("heed.cli.plan.PROBE", 0.0)
    overrides = [word for setting in tiny_settings for word in ("--set", setting)]
    return lambda *words: CliRunner().invoke(app, ["plan", "quickstart", *overrides, *words])


def test_the_page_is_a_table_of_80_columns(heed: Callable[..., Result]) -> None:
    result = heed()
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert max(map(len, lines)) <= WIDE
    names = [stage.name[: WIDTHS[0] - 1] for stage in load_recipe("quickstart").stages]
    table = [line.split()[0] for line in lines[2 : len(names) + 4]]
    assert table == ["stage", *names, "all"]
    assert "collect: 80 labels" in result.output
    assert "Seconds are a guess" in result.output


def test_an_earlier_run_corrects_it(heed: Callable[..., Result], finished_run: Path) -> None:
    """Beside a run like it, tokens are within a quarter, and the clock is that run's."""
    plan = json.loads(heed("--json", "--like", str(finished_run)).stdout)
    spent = spent_by(finished_run)
    for stage in plan["stages"]:
        real = spent[stage["name"]]
        for how in HOWS:
            assert stage[how] == pytest.approx(real.tokens.get(how, 0.0), rel=0.01, abs=1)
        low, high = stage["seconds"]
        assert low <= real.seconds <= high
        assert stage["memory"] == pytest.approx(real.memory, rel=0.01)
    collect = {each["name"]: each for each in plan["stages"]}["collect"]
    assert collect["label_seconds"] == pytest.approx(spent["collect"].label_seconds, rel=0.01)


def test_without_one_it_is_within_a_factor_of_two(finished_run: Path) -> None:
    """As the run itself kept it. Its policy hardly learned to end its answers."""
    plan = json.loads((finished_run / "plan.json").read_text())
    spent = spent_by(finished_run)
    for stage in plan["stages"]:
        real = spent[stage["name"]]
        assert stage["trained"] == pytest.approx(real.tokens.get("trained", 0.0), rel=1.0, abs=1)
        assert real.tokens.get("trained", 0.0) <= 2 * stage["trained"] + 1


def test_a_run_keeps_its_first_plan(run_copy: Path, tiny_settings: list[str]) -> None:
    path = run_copy / "plan.json"
    before = path.stat().st_mtime_ns
    recipe = load_recipe("quickstart", tiny_settings)
    said: list[str] = []
    keep_plan(Run(recipe, run_copy), said.append)
    assert said == []
    assert path.stat().st_mtime_ns == before
    changed = load_recipe("quickstart", [*tiny_settings, "ppo.iterations=5"])
    keep_plan(Run(changed, run_copy), said.append)
    ppo = {each["name"]: each for each in json.loads(path.read_text())["stages"]}["ppo"]
    assert ppo["answers"] > 5 * 16
    assert path.stat().st_mtime_ns != before


def test_what_cannot_be_planned_runs_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("no such\nlength")

    monkeypatch.setattr(planned, "look", broken)
    said: list[str] = []
    keep_plan(Run(load_recipe("quickstart"), tmp_path), said.append)
    assert said == ["plan       none: no such length"]
    assert not (tmp_path / "plan.json").exists()


def test_what_does_not_fit_is_refused_with_what_would(
    heed: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planned, "free_memory", lambda _: 603 * 2**20)
    result = heed()
    assert result.exit_code == 2
    assert "603 MiB are free on cpu, which is not enough." in result.stderr
    assert "dpo.optim.micro_tokens=" in result.stderr
    assert "stage " in result.stdout  # the table is there to see by how much
    monkeypatch.setattr(planned, "free_memory", lambda _: 2**20)
    assert "No single setting helps." in heed().stderr


def test_bad_input_is_one_paragraph(heed: Callable[..., Result], tmp_path: Path) -> None:
    for folder, words in ((tmp_path / "nowhere", "no run's directory"), (tmp_path, "is finished")):
        if folder == tmp_path:
            (tmp_path / "recipe.yaml").write_text("name: a\nstages: [records]\n")
        result = heed("--like", str(folder))
        assert result.exit_code == 2
        assert words in result.stderr
    result = heed("--set", "model=/no/where/at/all")
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_figures_are_short() -> None:
    counts = {0: "", 12: "12", 1234: "1.23k", 5.67e12: "5.67T", 2e19: "2.0e+19"}
    assert [count(value) for value in counts] == list(counts.values())
    said = {(0.5, 3.0): "0.5-3.0 s", (30.0, 119.0): "30-119 s", (60.0, 600.0): "1.0-10 min"}
    assert [times(value) for value in said] == list(said.values())
    assert times((1800.0, 36000.0)) == "0.5-10 h"
    assert times(None) == ""
