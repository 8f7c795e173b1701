"""The harness of comparisons: two toy sides, differences refused, foreign load, ratios by hand."""

from __future__ import annotations

import json
import multiprocessing
import py_compile
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness import (
    ROOT,
    Comparison,
    Measured,
    Ratio,
    Side,
    Unequal,
    apart,
    busy_seconds,
    compare,
    disturbed,
)
from benchmarks.training import same_losses

TOY = "tests.benchmarks.toy_side"


def side(name: str, **given: Any) -> Side:
    return Side.heed(name, TOY, **{"losses": [1.0], "norms": [1.0], "tokens": 3, **given})


@pytest.mark.slow
def test_sides_run_in_turn_and_the_first_round_does_not_count() -> None:
    found = compare("toys", [side("fast"), side("slow", sleeps=0.05)], rounds=2)
    assert [len(rounds) for rounds in found.rounds.values()] == [2, 2]
    assert found.seconds("slow") > 0.05 > found.seconds("fast")
    assert found.ratio("fast", "slow").low > 1
    assert found.peak("fast") > 1 << 20
    assert found.rounds["slow"][0].said == {"losses": [1.0]}


def test_a_side_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match=r"toy ended before its time\.\n.*no weights"):
        compare("toys", [side("toy", fails="no weights")], rounds=1)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"losses": [2.0009]}, True),
        ({"losses": [2.0011]}, False),
        ({"norms": [5.04]}, True),
        ({"norms": [5.06]}, False),
        ({"tokens": 8}, False),
    ],
)
def test_different_results_are_refused(other: dict[str, Any], same: bool) -> None:
    mine = {"losses": [2.0], "norms": [5.0], "tokens": 7}
    check = same_losses(["a", "b"])
    said = {"a": [mine], "b": [{**mine, **other}]}
    if same:
        check(said)
    else:
        with pytest.raises(Unequal, match=f"{next(iter(other))} 0: .* by a, .* by b"):
            check(said)


def test_ratios_by_hand() -> None:
    rounds = {
        "ours": [Measured(t, 0.0, 5, {"tokens": 6}) for t in (1.0, 2.0, 4.0)],
        "peer": [Measured(t, 0.5, 7, {"tokens": 6}) for t in (3.0, 4.0, 20.0)],
    }
    found = Comparison("x", rounds, frozenset({"ours"}))
    assert found.ratio("ours", "peer") == Ratio(3.0, 2.0, 5.0)
    assert (found.seconds("ours"), found.tokens("ours"), found.peak("peer")) == (2.0, 3.0, 7)
    assert (found.best(ours=True), found.best(ours=False)) == ("ours", "peer")
    assert "ours 3.00 (2.00 to 5.00) x" in found.table()
    assert "0.5 processors" in found.table()


def test_cases_of_a_round_are_told_apart() -> None:
    said = {"clocks": {"small": 1.0, "large": 4.0}, "counts": {"small": 10, "large": 80}}
    found = apart(Comparison("x", {"a": [Measured(5.0, 0.0, 1, said)]}, frozenset()))
    assert [(each.name, each.seconds("a"), each.tokens("a")) for each in found] == [
        ("x small", 1.0, 10.0),
        ("x large", 4.0, 20.0),
    ]


def _spin(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_foreign_load_is_noticed() -> None:
    """Another process that works while a side sleeps: its time counts, the side's does not."""
    other = multiprocessing.get_context("fork").Process(target=_spin, args=(0.5,))
    before = busy_seconds()
    other.start()
    found = compare("toys", [side("idle", sleeps=0.2)], rounds=1)
    other.join()
    assert busy_seconds() - before >= 0.5
    assert found.foreign() > 0.02
    assert disturbed(0.1) == ""
    assert "DISTURBED" in disturbed(0.2)


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks" / "trl_sides").glob("*.py")))
def test_the_peers_sides_compile_and_know_nothing_of_heed(path: Path, tmp_path: Path) -> None:
    py_compile.compile(str(path), cfile=str(tmp_path / "x.pyc"), doraise=True)
    lines = path.read_text("utf-8").splitlines()
    assert not [line for line in lines if line.startswith(("import heed", "from heed"))]


def test_a_specification_is_plain_json() -> None:
    assert json.loads(json.dumps(dict(side("a").given)))["losses"] == [1.0]
