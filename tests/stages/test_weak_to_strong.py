"""A weak model labels, a stronger one learns: the shipped recipe in miniature."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from scipy.special import expit

from heed.config import load_recipe
from heed.files import read_records
from heed.pipeline import run_recipe
from heed.recipe import WeakToStrong
from heed.run import Run
from heed.stages.weak_to_strong import _share, weak_to_strong
from heed.stages.workplace import Workplace
from heed.types import Comparison, Completion
from heed.world.world import World

ARCHITECTURE = (
    "{model_type: llama, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, "
    "num_attention_heads: 2, num_key_value_heads: 2, max_position_embeddings: 128, "
    "tie_word_embeddings: true}"
)
REWARDS = ("weak", "student", "confident", "ceiling")
SETTINGS = [
    *("threads=1", "records.corpus=600"),
    *(f"{name}.architecture={ARCHITECTURE}" for name in ("small", "large")),
    *("small.optim.lr=0.01", "large.optim.lr=0.01", "large.epochs=4"),
    *(f"{name}.{split}=60" for name in ("first", "second") for split in ("comparisons", "heldout")),
    *(f"{name}.sampling.max_new_tokens=12" for name in REWARDS),
    *(f"{name}.calibration=32" for name in REWARDS),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(load_recipe("weak_to_strong", SETTINGS), tmp_path_factory.mktemp("runs") / "run")
    run_recipe(run, say=lambda line: None)
    return run


def read(run: Run, stage: str, name: str = "comparisons") -> list[Comparison]:
    return read_records(run.directory / stage / f"{name}.jsonl", Comparison)


def pair(item: Comparison) -> tuple[str, frozenset[str]]:
    return item.prompt.id, frozenset((item.chosen, item.rejected))


def test_gold_judges_every_pair_once_and_surely(run: Run) -> None:
    gold = World(0).reward
    for name in ("comparisons", "heldout"):
        judged = read(run, "gold_second", name)
        assert len({pair(item) for item in judged}) == len(judged)
        assert {pair(item) for item in judged} <= {pair(item) for item in read(run, "second", name)}
        for item in judged:
            texts = (item.chosen, item.rejected)
            better, worse = gold([Completion(item.prompt, text) for text in texts])
            assert better > worse
            assert (item.weight, item.margin, item.annotator) == (1.0, 0.0, "gold")
    summary = run.stage("gold_second").done_summary()
    assert 0.5 < summary["agrees_with_before"] < 1.0  # people err
    assert not (run.directory / "gold_second" / "ceiling.json").exists()  # gold makes no noise


def test_a_model_labels_softly_and_leaves_the_held_out_pairs_as_they_were(run: Run) -> None:
    assert read(run, "weak_second", "heldout") == read(run, "gold_second", "heldout")
    weights: dict[Any, list[Comparison]] = {}
    for item in read(run, "weak_second"):
        weights.setdefault(pair(item), []).append(item)
    assert set(weights) == {pair(item) for item in read(run, "gold_second")}
    score = Workplace(run, print, lambda _: print).reward("weak")  # type: ignore[arg-type]
    std = run.stage("weak").done_summary()["calibrated_from"]["std"]
    for one, other in list(weights.values())[:5]:
        assert (one.chosen, one.rejected) == (other.rejected, other.chosen)
        assert one.weight + other.weight == pytest.approx(1.0)
        better, worse = score([Completion(one.prompt, text) for text in (one.chosen, one.rejected)])
        # The probability is that of the scores that were trained, before they were scaled.
        assert one.weight == pytest.approx(float(expit(std * (better - worse))), rel=1e-4)


def test_a_stage_that_knows_its_ceiling_passes_it_on(run: Run, tmp_path: Path) -> None:
    recipe = load_recipe("weak_to_strong", [*SETTINGS, "weak_second.comparisons=second"])
    again = Run(recipe.needed_for("weak_second"), run.directory)
    run_recipe(again, say=lambda line: None)
    assert (run.directory / "weak_second" / "ceiling.json").read_bytes() == (
        run.directory / "second" / "ceiling.json"
    ).read_bytes()
    run_recipe(Run(run.recipe.needed_for("weak_second"), run.directory), say=lambda line: None)


def test_the_confidence_loss_is_logged_and_rises(run: Run) -> None:
    lines = (run.directory / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    confident = [row for row in rows if row["stage"] == "confident"]
    assert all({"confidence", "agreement", "bradley_terry"} <= row.keys() for row in confident)
    assert not any("confidence" in row for row in rows if row["stage"] == "student")


def test_the_account_is_in_the_summary(run: Run) -> None:
    summary = run.stage("weak_to_strong").done_summary()
    accuracy = {name: found["mean"] for name, found in summary["accuracy"].items()}
    assert set(accuracy) == {"weak", "student", "confident", "ceiling"}
    gap = accuracy["ceiling"] - accuracy["weak"]
    assert summary["gap"]["low"] < summary["gap"]["high"]
    for name in ("student", "confident"):
        found = summary["gap_recovered"][name]
        if gap <= 0:
            assert found is None
        else:
            assert found["mean"] == pytest.approx((accuracy[name] - accuracy["weak"]) / gap)
        assert any(note.startswith(f"{name}: ") for note in summary["notes"])
    if summary["gap"]["low"] <= 0:
        assert "not surely there" in summary["notes"][-1]


def test_a_student_measured_against_itself_has_no_gap(run: Run) -> None:
    settings = WeakToStrong(
        name="w", weak="ceiling", students=["student"], ceiling="ceiling", comparisons="second"
    )
    work = Workplace(run, print, lambda _: print)  # type: ignore[arg-type]
    summary = weak_to_strong(work, settings, run.stage("weak_to_strong"))
    assert summary["gap_recovered"] == {"student": None}
    assert summary["notes"] == [f"student: {_share(None)}", summary["notes"][-1]]
    assert math.isclose(summary["gap"]["mean"], 0.0)
