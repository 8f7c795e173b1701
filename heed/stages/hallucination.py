"""What each policy makes up, and whether that can be told: measures.json and hallucination.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heed.evaluation.hallucination import Claims, claims
from heed.evaluation.measures import Samples
from heed.stages.answers import Answers
from heed.stages.costs import as_json
from heed.stats.calibration import Calibration
from heed.world.reading import Reading
from heed.world.saying import SAID, said
from heed.world.world import World

EXPOSURES = {"seen_often": "often", "seen_once": "once", "never": "never"}
"""What the report calls how often the corpus tells a fact, and what the world calls it."""
ALL = "all"


def outcomes(world: World, samples: Samples) -> dict[str, Any]:
    """On facts seen often, once and never: right, made up, or "I do not know"."""
    seen = [world.key(item.prompt.id).get("seen") for item in samples.completions]
    gold = [world.gold(item.prompt, item.text) for item in samples.completions]
    kinds = Samples(
        samples.completions,
        {
            "correct": samples.values["correct"],
            "unknown": [float(item.hedged) for item in gold],
            "wrong": [float(not item.correct and not item.hedged) for item in gold],
        },
    )
    return {
        exposure: as_json({name: chosen.estimate(name) for name in ("correct", "wrong", "unknown")})
        for exposure, how in EXPOSURES.items()
        if (chosen := kinds.where([kind == how for kind in seen])).completions
    }


def signals(world: World, measured: Mapping[str, Answers]) -> dict[str, Any]:
    """Of each policy's claims, over all questions with one right answer and by family: how well
    disagreement and entropy tell wrong ones, and how well it knows itself.
    """
    table: dict[str, Any] = {}
    for label, each in measured.items():
        answerable = [type(world.task(item.prompt.id)) in SAID for item in each.heldout.completions]
        samples = each.heldout.where(answerable)
        families = dict.fromkeys(item.prompt.family for item in samples.completions)
        parts = {ALL: samples, **{name: samples.family(name) for name in families}}
        if samples.completions:
            table[label] = {
                name: _part(_claims(world, part, own=each.own)) for name, part in parts.items()
            }
    return table


def _claims(world: World, samples: Samples, *, own: bool) -> Claims:
    given: list[str | None] = []
    for item in samples.completions:
        reading = Reading(item.text, world.grammar)
        answer = said(world.task(item.prompt.id), reading)
        given.append(None if reading.unsure else answer)
    right = [value > 0 for value in samples.values["correct"]]
    return claims(samples.completions, given, right, own=own)


def _part(found: Claims) -> dict[str, Any]:
    calibrated = found.calibration()
    return {
        "claims": len(found.wrong),
        "detection": as_json(found.detection()),
        "calibration": calibrated and _calibration(calibrated),
    }


def _calibration(found: Calibration) -> dict[str, Any]:
    table = as_json({"error": found.error, "brier": found.brier, "excess": found.excess})
    bins = [{"confidence": each.confidence, "right": each.right.to_json()} for each in found.bins]
    return {**table, "bins": bins}
