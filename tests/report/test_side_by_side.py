"""Runs held against each other."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from heed.cli.main import app
from heed.errors import UserError
from heed.report.beside import (
    Side,
    compared,
    notes,
    read_sides,
    same_measure,
    settings_that_differ,
)
from heed.report.read import read_run
from heed.report.side_by_side import write_side_by_side
from heed.stats.from_intervals import difference as from_intervals
from heed.stats.intervals import Estimate, mean_interval

POLICIES = ("base", "ppo")
PROMPTS = [f"prompt-{number}" for number in range(60)]
HARD = dict(zip(PROMPTS, np.random.default_rng(0).normal(0, 2, len(PROMPTS)), strict=True))


def make(folder: Path, *, coef: float = 0.05, shift: float = 0.0, **other: Any) -> Path:
    """An evaluated run whose PPO lies `shift` above; `other` replaces parts of what is written."""
    folder.mkdir(parents=True)
    stages = [
        {"reward": {"name": "reward", "batch": 8}},
        {"ppo": {"name": "ppo", "kl": {"coef": coef}, "iterations": 30}},
        {"evaluate": {"name": "evaluate", "policies": {"base": "pretrain", "ppo": "ppo"},
                      "reference": "pretrain", "reward": "reward", "also": {}}},
        *other.get("stages", []),
    ]  # fmt: skip
    recipe = {"name": "demo", "seed": 0, "world": {"seed": 0}, "stages": stages}
    (folder / "recipe.yaml").write_text(json.dumps({**recipe, **other.get("recipe", {})}))
    keys = {"pretrain": "base", "reward": "r", "ppo": f"ppo-{coef}", "evaluate": "e",
            **other.get("keys", {})}  # fmt: skip
    write(folder / "keys.json", keys)
    write(folder / "provenance.json", other.get("provenance", {"git": {"commit": "a" * 40}}))
    for stage in ("reward", "ppo", "evaluate"):
        write(folder / stage / "done.json", {"key": keys[stage], "seconds": 9.0, "summary": {}})
    generator = np.random.default_rng(int(1000 * coef))
    means = {
        policy: {
            "gold": {at: HARD[at] + (shift if policy == "ppo" else 0) + generator.normal(0, 0.1)
                     for at in PROMPTS},
            "kl": {at: 1.0 + generator.normal(0, 0.1) for at in PROMPTS},
            "proxy": {at: generator.normal(0, 1) for at in PROMPTS},
        }
        for policy in POLICIES
    }  # fmt: skip
    table = {
        policy: {name: mean_interval(list(each.values())).to_json() for name, each in own.items()}
        for policy, own in means.items()
    }
    write(folder / "evaluate/measures.json", {"policies": table})
    said = other.get("prompts", dict.fromkeys(PROMPTS, "said"))
    write(folder / "evaluate/by_prompt.json", {"prompts": said, "policies": means})
    rows = [{"stage": "ppo", "step": step, "proxy": step * coef, "gold": 1.0, "kl": 0.1 * step}
            for step in range(1, 31)]  # fmt: skip
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value))


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    return [make(tmp_path / "one"), make(tmp_path / "two", coef=0.2, shift=0.3)]


def found(runs: list[Path]) -> dict[str, Any]:
    rows = compared(read_sides(runs))
    return {f"{row.policy} {row.measure}": row for row in rows}


def test_differences_are_paired_by_prompt_and_so_narrower(runs: list[Path]) -> None:
    row = found(runs)["ppo gold"]
    (difference,) = row.differences
    assert (difference.paired, difference.prompts) == (True, 60)
    assert difference.estimate.low < 0.3 < difference.estimate.high
    a, b = row.figures
    assert difference.estimate.mean == pytest.approx(b.mean - a.mean)
    apart = from_intervals(b, a)
    assert apart.low < 0 < apart.high, "how hard the prompts are hides it"
    assert difference.estimate.low > 0, "but not where each is held against itself"


def test_it_says_which_settings_differ(runs: list[Path], tmp_path: Path) -> None:
    assert settings_that_differ(read_sides(runs)) == [("ppo.kl.coef", ["0.05", "0.2"])]
    third = make(tmp_path / "three", recipe={"seed": 1, "world": {"seed": 1}},
                 stages=[{"dpo": {"name": "dpo", "beta": 0.1, "epochs": 2}}])  # fmt: skip
    assert dict(settings_that_differ(read_sides([*runs, third]))) == {
        "seed": ["0", "0", "1"], "world.seed": ["0", "0", "1"],
        "ppo.kl.coef": ["0.05", "0.2", "0.05"], "dpo": ["–", "–", "there"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("prompts", "why"),
    [
        (dict.fromkeys(PROMPTS, "otherwise"), "of 60 prompts they have 0 in common"),
        (dict.fromkeys(PROMPTS[:10], "said"), "of 60 prompts they have 10 in common"),
    ],
)
def test_other_prompts_are_not_paired(
    runs: list[Path], tmp_path: Path, prompts: Any, why: str
) -> None:
    third = make(tmp_path / "three", shift=0.3, prompts=prompts)
    row = found([runs[0], third])["ppo gold"]
    (difference,) = row.differences
    assert (difference.paired, difference.why) == (False, why)
    assert difference.estimate == from_intervals(row.figures[1], row.figures[0])


def test_most_prompts_in_common_are_enough(runs: list[Path], tmp_path: Path) -> None:
    third = make(tmp_path / "three", shift=0.3, prompts=dict.fromkeys(PROMPTS[:40], "said"))
    (difference,) = found([runs[0], third])["ppo gold"].differences
    assert (difference.paired, difference.prompts) == (True, 40)


def test_an_evaluation_that_kept_nothing_is_not_paired(runs: list[Path]) -> None:
    (runs[0] / "evaluate/by_prompt.json").unlink()
    (difference,) = found(runs)["ppo gold"].differences
    assert (difference.paired, difference.why) == (False, "A kept no means by prompt")


def test_scores_of_other_rewards_are_not_held_against_each_other(
    runs: list[Path], tmp_path: Path
) -> None:
    assert found(runs)["ppo proxy"].differences[0] is not None
    third = make(tmp_path / "three", keys={"reward": "r2", "pretrain": "base2"})
    assert found([runs[0], third])["ppo proxy"].differences == [None]
    assert found([runs[0], third])["ppo gold"].differences[0] is not None
    said = notes(read_sides([runs[0], third]))
    assert said == [
        "A and B: proxy is the score of another reward in each, so no difference is told.",
        "A and B: each measures KL from a reference of its own.",
    ]


def test_the_page_says_it(runs: list[Path]) -> None:
    path = write_side_by_side(runs)
    assert path == runs[1].parent / "one-beside-two.html"
    page = path.read_text()
    assert re.search(r"Gold reward: PPO of B against that of A: 0\.\d\d \[0\.\d\d, 0\.\d\d\], "
                     "better beyond", page)  # fmt: skip
    assert "B − A is paired over 60 prompts." in page
    assert page.count("is the very same in all") == 1, "the base"
    assert page.count('aria-label="ppo: ') == 3
    assert "A ends at 1.50, B ends at 6.00" in page
    assert "<script" not in page
    assert not re.search(r'(?:href|src)="(?!#)', page), "nothing from outside"
    held = json.loads(path.with_suffix(".json").read_text())
    (difference,) = held["policies"]["ppo"]["gold"]["differences"]
    assert (difference["paired"], difference["prompts"], difference["n"]) == (True, 60, 60)
    assert held["settings"] == [{"setting": "ppo.kl.coef", "values": ["0.05", "0.2"]}]


def test_hostile_words_are_escaped(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    one = make(tmp_path / "one", recipe={"name": hostile, "seed": hostile})
    two = make(tmp_path / "<b>two", provenance={"versions": {hostile: hostile}})
    page = write_side_by_side([one, two], tmp_path / "page.html").read_text()
    assert "<script" not in page
    assert "<b>two" not in page
    assert "&lt;script&gt;" in page


def test_what_is_not_evaluated_still_has_settings_and_curves(runs: list[Path]) -> None:
    for name in ("measures.json", "done.json", "by_prompt.json"):
        (runs[1] / "evaluate" / name).unlink()
    page = write_side_by_side(runs).read_text()
    assert "B is not evaluated yet." in page
    assert "Nothing that both runs measured" in page
    assert "was measured in" not in page
    assert 'aria-label="ppo: ' in page


def test_mistakes_are_told(runs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is named twice"):
        read_sides([runs[0], runs[0].parent / "one" / ".." / "one"])
    make(tmp_path / "many/seed-0")
    with pytest.raises(UserError, match=r"several seeds\. Name one of them, such as .*seed-0"):
        read_sides([runs[0], tmp_path / "many"])
    (runs[1] / "evaluate/by_prompt.json").write_text("{")
    with pytest.raises(UserError, match=r"by_prompt\.json cannot be read as JSON"):
        read_sides(runs)


def test_as_a_person_would_ask(runs: list[Path], tmp_path: Path) -> None:
    runner, page = CliRunner(), tmp_path / "pages/page.html"
    said = runner.invoke(app, ["report", *map(str, runs), "--out", str(page)])
    assert said.stdout == f"Report: {page}\n", said.output
    assert page.exists()
    for words in (["--out", str(tmp_path / "page")], ["--out", "page.html"]):
        runs_given = runs if words[1] != "page.html" else runs[:1]
        result = runner.invoke(app, ["report", *map(str, runs_given), *words])
        assert result.exit_code == 2, "a page's name, and of several runs"


def test_three_runs_are_each_held_against_the_first(runs: list[Path], tmp_path: Path) -> None:
    third = make(tmp_path / "three", coef=0.4, shift=-0.3)
    row = found([*runs, third])["ppo gold"]
    means = [each.estimate.mean for each in row.differences]
    assert means == pytest.approx([0.3, -0.3], abs=0.1)
    page = write_side_by_side([*runs, third]).read_text()
    assert "of 2 policies that are not the same" in page


@pytest.mark.parametrize("paired", [True, False])
def test_the_intervals_hold_the_truth(paired: bool) -> None:
    """Of 400 pairs of runs with a true gap of .3 over new prompts, 95% of the intervals hold it."""
    generator, held = np.random.default_rng(1), 0
    for _ in range(400):
        hard = generator.normal(0, 1, 40)
        a = hard + generator.normal(0, 0.5, 40)
        b = (hard if paired else generator.normal(0, 1, 40)) + 0.3 + generator.normal(0, 0.5, 40)
        found: Estimate = (
            mean_interval(b - a) if paired else from_intervals(mean_interval(b), mean_interval(a))
        )
        held += found.low <= 0.3 <= found.high
    assert 0.92 <= held / 400 <= 0.98


def test_a_check_is_the_same_measure_where_its_settings_are(tmp_path: Path) -> None:
    def side(folder: str, pattern: str, kind: str = "regex") -> Side:
        stages = [{kind: {"name": "form", "pattern": pattern}}]
        view = read_run(make(tmp_path / folder, stages=stages))
        keys = {"form": folder}  # they differ: a key knows of the seed, too
        return Side("A", tmp_path / folder, view, keys, scored={"ppo": {"form": "form"}})

    first = side("one", "a")
    assert same_measure(first, side("two", "a"), "ppo", "form")
    assert not same_measure(first, side("three", "b"), "ppo", "form")
    judged = side("four", "a", "judge")
    assert not same_measure(judged, side("five", "a", "judge"), "ppo", "form")
    assert not same_measure(first, Side("B", tmp_path, first.view, {}), "ppo", "form")
    assert same_measure(first, judged, "ppo", "gold"), "no reward stage's score"
