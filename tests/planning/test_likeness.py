"""What a run spent, and a plan corrected by it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from heed.planning.ground import Ground
from heed.planning.likeness import SPREAD, corrected
from heed.planning.plan import Machine, Plan, make_plan
from heed.planning.spent import Spent, spent_by, spent_of

Make = Callable[..., Ground]
MARKER = {"kind": "ppo", "seconds": 12.5, "memory": 1000, "summary": {"tokens": 300}}


def planned(ground: Ground) -> Plan:
    return make_plan(ground, Machine("cpu", None, None))


def exactly(plan: Plan, times: float = 1.0) -> dict[str, Spent]:
    """A run that spent so many times what was planned, a second a thousand operations."""
    return {
        each.name: Spent(
            each.name,
            each.kind,
            seconds=times * each.operations / 1000,
            memory=times * each.held,
            tokens={
                "trained": times * each.trained,
                "forwarded": times * each.forwarded,
                "sampled": times * each.sampled,
            },
            flops=times * each.operations,
        )
        for each in plan.stages
    }


def test_a_run_as_planned_changes_nothing_but_the_clock(ground: Make, feedback: str) -> None:
    plan = planned(ground(feedback))
    same = corrected(plan, plan, exactly(plan))
    for old, new in zip(plan.stages, same.stages, strict=True):
        assert (new.trained, new.forwarded, new.sampled) == (
            old.trained, old.forwarded, old.sampled,
        )  # fmt: skip
        assert new.held == old.held
        assert new.operations == pytest.approx(old.operations)
        low, high = (share * old.operations / 1000 for share in SPREAD)
        assert new.seconds == pytest.approx((low, high))


def test_what_a_run_spent_more_a_run_like_it_will(ground: Make, feedback: str) -> None:
    before = planned(ground(feedback))
    larger = planned(ground(feedback.replace("batch: 10, epochs: 2", "batch: 10, epochs: 4")))
    found = corrected(larger, before, exactly(before, 1.5))
    old = {each.name: each for each in before.stages}["pretrain"]
    new = {each.name: each for each in found.stages}["pretrain"]
    assert new.trained == pytest.approx(1.5 * 2 * old.trained)
    assert new.seconds == pytest.approx(tuple(1.5 * 2 * old.operations / 1000 * s for s in SPREAD))
    assert new.held == pytest.approx(1.5 * old.held)  # more epochs hold no more at once


def test_a_stage_of_another_name_goes_by_its_kind_and_others_by_the_pace(
    ground: Make, feedback: str
) -> None:
    before = planned(ground(feedback))
    more = feedback + "  - reward: {name: second, batch: 10}\n  - dpo: {batch: 10}\n"
    found = {
        e.name: e for e in corrected(planned(ground(more)), before, exactly(before, 2.0)).stages
    }
    assert found["second"].trained == pytest.approx(2.0 * 100 * 2 * 15)
    plain = {each.name: each for each in planned(ground(more)).stages}["dpo"]
    assert found["dpo"].trained == plain.trained
    assert found["dpo"].seconds == pytest.approx(
        tuple(2.0 * plain.operations / 1000 * share for share in SPREAD)
    )


def test_a_marker_tells_what_was_spent() -> None:
    counted = {"trained": 5.0, "sampled": 2.0, "flops": 9.0, "answers": 1.0, "joules_card": 7.0}
    found = spent_of("ppo", {**MARKER, "spent": counted})
    assert found.tokens == {"trained": 5.0, "forwarded": 0.0, "sampled": 2.0}
    assert (found.flops, found.answers, found.joules) == (9.0, 1.0, {"card": 7.0})
    asked = {"kind": "collect", "seconds": 1, "summary": {"annotations": 30, "minutes": 4.0}}
    labels = spent_of("collect", asked)
    assert (labels.labels, labels.minutes, labels.label_seconds) == (30.0, 4.0, 8.0)
    assert spent_of("sft", {"kind": "sft", "seconds": 1}).label_seconds is None


def test_an_older_marker_tells_what_was_learned_from() -> None:
    assert spent_of("ppo", MARKER).tokens == {"trained": 600.0}  # policy and critic
    assert spent_of("dpo", {**MARKER, "kind": "dpo"}).tokens == {"trained": 300.0}
    assert spent_of("dpo", MARKER).flops is None


def test_markers_that_cannot_be_read_are_none(tmp_path: Path) -> None:
    for name, text in {
        "good": json.dumps(MARKER),
        "torn": '{"kind": "pp',
        "list": "[]",
        "bare": "{}",
        "words": json.dumps({**MARKER, "seconds": "long"}),
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "done.json").write_text(text)
    assert spent_by(tmp_path).keys() == {"good"}
