"""The comparison that the quickstart ends with, and others after the same evaluation."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from heed.evaluation.votes import Vote
from heed.files import read_records
from heed.judging.decoys import DECOYS
from heed.types import Item
from heed.world.world import World

LABELS = ("base", "sft", "dpo", "ppo")


@pytest.fixture
def votes(finished_run: Path) -> list[Vote]:
    return read_records(finished_run / "compare" / "votes.jsonl", Vote)


@pytest.fixture
def found(finished_run: Path) -> dict[str, Any]:
    return json.loads((finished_run / "compare" / "compare.json").read_text())


@pytest.fixture
def items(finished_run: Path) -> list[Item]:
    return read_records(finished_run / "compare" / "items.jsonl", Item)


def test_everyone_meets_on_every_prompt(items: list[Item]) -> None:
    prompts = len({item.prompt.id for item in items})
    met = Counter(tuple(sorted(item.models)) for item in items)
    assert len(met) == 6 + len(LABELS) * len(DECOYS)
    assert set(met.values()) == {prompts}


def test_gold_votes_are_the_worlds(votes: list[Vote], items: list[Item]) -> None:
    world, by_id = World(0), {item.id: item for item in items}
    gold = [vote for vote in votes if vote.judge == "gold"]
    assert len(gold) == len(items)
    for vote in gold:
        item = by_id[vote.item]
        worth = {
            name: world.gold(item.prompt, text).total
            for name, text in zip(item.models, item.answers, strict=True)
        }
        gap = worth[vote.left] - worth[vote.right]
        assert vote.score == (0.5 if abs(gap) <= 1e-6 else float(gap > 0))


def test_figures_follow_from_the_votes(votes: list[Vote], found: Any) -> None:
    assert found["baseline"] == "sft"
    assert set(found["judges"]) == {"gold", "reward"}
    for judge, each in found["judges"].items():
        own = [vote for vote in votes if vote.judge == judge]
        scores = [v.score for v in own if (v.left, v.right) == ("ppo", "sft")]
        scores += [1 - v.score for v in own if (v.left, v.right) == ("sft", "ppo")]
        mean = 100 * sum(scores) / len(scores)
        assert each["pairs"]["ppo"]["sft"]["mean"] == pytest.approx(mean)
        assert each["against_baseline"]["ppo"]["win_rate"]["mean"] == pytest.approx(mean)
        assert {row["name"] for row in each["ratings"]} == set(LABELS)
        assert {row["decoy"] for row in each["decoys"]} == {f"decoy: {name}" for name in DECOYS}
    (both,) = found["agreement"]
    assert both["judges"] == ["gold", "reward"]


def test_who_learned_from_a_judge_is_named(finished_run: Path) -> None:
    notes = json.loads((finished_run / "compare" / "done.json").read_text())["summary"]["notes"]
    assert any(note.startswith("ppo was trained on reward") for note in notes)
    assert any(note.startswith("dpo learned from the comparisons") for note in notes)
    assert not any(note.startswith("sft") for note in notes)
