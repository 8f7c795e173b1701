"""The section on proxy and gold: from overoptimisation.json, escaped, absent where none was."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from heed.report.page import write_report
from heed.report.parts.overoptimisation import read
from heed.report.read import read_run

HOSTILE = "<script>alert(1)</script>"
NAME = "overoptimisation"


def one(mean: float | None, half: float = 0.1, n: int = 86) -> dict[str, Any]:
    bounds = (None, None) if mean is None else (mean - half, mean + half)
    return {"mean": mean, "low": bounds[0], "high": bounds[1], "n": n}


def fit(form: str, a: float, b: float, lost: float, *, distance: float | None) -> dict[str, Any]:
    told = {"a": one(a), "b": one(b), "distance": one(distance), "best": one(0.4, 0.05)}
    rest = {"end": one(0.4 - lost), "lost": one(lost, min(0.05, lost)), "farthest": 3.0}
    return {"form": form, **told, **rest, "start": 0.5, "scale": 1.4, "r2": 0.97, "error": 0.02}


def best_of_n(a: float, lost: float) -> dict[str, Any]:
    ns = range(1, 17)
    distance = [math.sqrt(math.log(n) - (n - 1) / n) for n in ns]
    return {
        "n": list(ns),
        "distance": distance,
        "proxy": [one(0.8 * d) for d in distance],
        "gold": [one(d * (a - 0.3 * d)) for d in distance],
        "fit": fit("best_of_n", a, 0.3, lost, distance=1.0),
    }


def run(label: str, coef: float, lost: float, distance: float | None) -> dict[str, Any]:
    far = [0.3 * step for step in range(10)]
    return {
        "stage": "ppo",
        "proxy_label": label,
        "kl_coef": coef,
        "step": list(range(1, 11)),
        "distance": far,
        "proxy": [0.5 * d for d in far],
        "gold": [0.3 * d - 0.1 * d * d for d in far],
        "fit": fit("rl", 0.3, 0.2, lost, distance=distance),
    }


def made(comparisons: int, parameters: int) -> dict[str, Any]:
    known = {"accuracy": one(0.7), "noise_ceiling": one(0.8)}
    return {"comparisons": comparisons, "parameters": parameters, **known}


def found() -> dict[str, Any]:
    return {
        "policy": "sft",
        "prompts": 114,
        "samples": 16,
        "distinct": 0.551,
        "gold": {"mean": 0.5, "sd": 1.4},
        "proxies": {"few": made(250, 900_000), HOSTILE: made(4000, 60_000)},
        "best_of_n": {"few": best_of_n(0.6, 0.2), HOSTILE: best_of_n(0.9, 0.0)},
        "runs": {
            "on": run("few", 0.15, 0.0, None),
            "off": run("few", 0.0, 0.9, 1.2),
            "short": {**run(HOSTILE, 0.0, 0.0, 1.0), "fit": None},
        },
    }


@pytest.fixture
def place(run_directory: Path) -> Path:
    """Where the stage leaves its file: a finished stage of a run's recipe."""
    recipe = yaml.safe_load((run_directory / "recipe.yaml").read_text())
    recipe["stages"].insert(-1, {NAME: {"name": NAME}})
    (run_directory / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    (run_directory / NAME).mkdir()
    done = {"key": "k", "kind": NAME, "seconds": 3.0, "summary": {}}
    (run_directory / NAME / "done.json").write_text(json.dumps(done))
    return run_directory / NAME / f"{NAME}.json"


def test_falls_are_told_the_deepest_first(place: Path) -> None:
    place.write_text(json.dumps(found()))
    part = read(place.parents[1], read_run(place.parents[1]))
    assert part is not None
    assert [finding.split(":")[0] for finding in part.findings] == [
        "RL off the leash against few",
        "Best of n against few",
    ]
    deepest = part.findings[0]
    assert "gold rises by 0.40 [0.35, 0.45] SDs at √KL 1.20 and then loses 0.90" in deepest
    assert "went past gold’s peak at a KL of 1.4 [1.2, 1.7] nats" in part.advice[0]
    assert part.advice[1].startswith("Best of more than about 7 by few costs gold")
    assert part.json["runs"]["on"]["kl_coef"] == 0.15


def test_what_was_not_passed_is_not_told_as_a_peak(place: Path) -> None:
    place.write_text(json.dumps(found()))
    part = read(place.parents[1], read_run(place.parents[1]))
    assert part is not None
    rows = {row["name"]: row for row in part.values["rows"]}
    assert rows["RL on the leash, few"]["cells"][0] == ("> 2.70", "[∞, ∞]")
    assert rows["RL off the leash, few"]["cells"][0] == ("1.20", "[1.10, 1.30]")
    assert rows[f"RL off the leash, {HOSTILE}"]["aside"].startswith(
        "too short for a fit; 10 rounds"
    )
    unbroken = next(says for says in part.values["sentences"] if says.startswith("RL on"))
    assert unbroken.endswith("no fall is shown.")


def test_sizes_stand_apart_and_the_page_is_escaped(place: Path) -> None:
    place.write_text(json.dumps(found()))
    page = write_report(place.parents[1]).read_text()
    assert "How far can the reward be trusted?" in page
    assert "Best of n, 0.9M parameters" in page
    assert "Best of n, 0.06M parameters" in page
    assert "gain in gold at the farthest point, SDs" in page
    assert "16 answers to each of 114 held-out prompts" in page
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)" in page


def test_one_proxy_needs_no_name(place: Path) -> None:
    whole = found()
    del whole["best_of_n"][HOSTILE], whole["runs"]["short"], whole["proxies"][HOSTILE]
    place.write_text(json.dumps(whole))
    part = read(place.parents[1], read_run(place.parents[1]))
    assert part is not None
    assert part.values["legend_of"] == ["Gold", "Proxy"]
    assert part.values["summary"] is None
    assert part.findings[0].startswith("RL off the leash: gold rises")


def test_two_trainings_on_one_proxy_are_told_apart(place: Path) -> None:
    whole = found()
    whole["runs"]["again"] = run("few", 0.0, 0.5, 1.2)
    place.write_text(json.dumps(whole))
    part = read(place.parents[1], read_run(place.parents[1]))
    assert part is not None
    assert part.findings[0].startswith("RL off the leash (off) against few")
    assert part.findings[1].startswith("RL off the leash (again) against few")
    assert "RL off the leash, few, again" in [row["name"] for row in part.values["rows"]]


def test_nothing_is_said_where_nothing_was_left(run_directory: Path) -> None:
    assert read(run_directory, read_run(run_directory)) is None


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"best_of_n": 3, "runs": [1], "proxies": null}',
        '{"best_of_n": {"x": {"distance": ["a"], "gold": 3}}, "runs": {"y": {}}}',
        '{"runs": {"y": {"distance": [0.1, 0.2], "gold": [null, 1], "proxy": [1, 2]}}}',
    ],
)
def test_a_spoilt_file_spoils_no_page(place: Path, text: str) -> None:
    place.write_text(text)
    assert read(place.parents[1], read_run(place.parents[1])) is None
    assert "How far can the reward" not in write_report(place.parents[1]).read_text()


def test_a_spoilt_part_leaves_the_others(place: Path) -> None:
    whole = found()
    whole["proxies"] = {"few": 3}
    whole["distinct"] = "many"
    whole["runs"]["off"]["fit"] = {"a": 1}
    place.write_text(json.dumps(whole))
    part = read(place.parents[1], read_run(place.parents[1]))
    assert part is not None
    assert write_report(place.parents[1]).exists()
    assert [finding.split(":")[0] for finding in part.findings] == ["Best of n against few"]
