"""Heed's sides of the comparisons, shrunk, in this process, so that they cannot rot."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks import online, rollouts, training
from benchmarks.heed_sides import offline
from benchmarks.heed_sides import online as online_side
from benchmarks.heed_sides import rollouts as rollouts_side
from benchmarks.material import Size, mixed_lengths, prompts
from benchmarks.serving import Stage
from benchmarks.workshop import Workshop

SMALL = Size(width=128, layers=1, heads=2, inner=96, vocabulary=200)


class Rehearsal(Stage):
    """A stage on which so many rounds are asked for, and nobody is told."""

    def __init__(self, given: Any, rounds: int) -> None:
        self.given = dict(given)
        self.left = rounds
        self.heard: list[dict[str, Any]] = []

    def say(self, **what: Any) -> None:
        self.heard.append(what)

    def wait(self) -> bool:
        self.left -= 1
        return self.left >= 0


@pytest.fixture(scope="module")
def shop() -> Iterator[Workshop]:
    with Workshop({"small": SMALL}, pairs=32) as made:
        yield made


def test_answers_end_where_their_prompts_say(shop: Workshop) -> None:
    """Greedily and at temperature 1, in both precisions."""
    lengths = mixed_lengths(24, 64)
    asked = {"mixed": prompts(SMALL, lengths), "fixed": prompts(SMALL, [5] * 4)}
    for side in rollouts.sides(shop, "small", asked, peers=False):
        stage = Rehearsal(side.given, rounds=2)
        rollouts_side.main(stage)
        _, greedy, drawn = stage.heard
        assert [len(ids) for ids in greedy["answers"]["mixed"]] == lengths
        assert [len(ids) for ids in greedy["answers"]["fixed"]] == [5] * 4
        assert drawn["counts"] == {"mixed": sum(lengths), "fixed": 20}


@pytest.mark.parametrize("kind", training.KINDS)
def test_training_goes_through_the_stage(shop: Workshop, kind: str) -> None:
    side = training.ours(shop, "small", kind, "float32", steps=1)
    stage = Rehearsal(side.given, rounds=2)
    offline.main(stage)
    _, first, second = stage.heard
    assert first["tokens"] > 16 * 24
    if kind == "dpo":
        assert first["losses"] == [pytest.approx(math.log(2))]
    assert second["losses"] != first["losses"]
    rows = shop.rows("small", kind, training.BATCH).read_text().splitlines()
    assert len(rows) == 32


@pytest.mark.parametrize("kind", ["grpo", "ppo"])
def test_iterations_go_through_the_stage(
    shop: Workshop, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(online, "BATCH", 16)
    monkeypatch.setattr(online, "LONGEST", 12)
    stage = Rehearsal(online.ours(shop, "small", kind, "float32").given, rounds=1)
    online_side.main(stage)
    _, found = stage.heard
    assert found["tokens"] == 16 * 12
    assert min(found["generate"], found["score"], found["seconds"]) > 0
    assert found["seconds"] > found["generate"] + found["score"]
    if kind != "ppo":
        assert 0.3 < found["rewards"][0] < 0.7
