"""What to change where a stage would not fit: settings, tried by the same formulas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from heed.planning.ground import Ground
from heed.planning.plan import Machine, Plan, StagePlan, memory_of
from heed.recipe import Lora, OnPolicy, Ppo, Rejection, Sampling, SharedLora, Stage, TrainingStage

FEWEST = 256
"""Tokens of a forward pass below which it is not worth asking for less."""
FEWEST_ROWS = 8
RANK = 16


def too_large(plan: Plan) -> list[StagePlan]:
    """The stages that would hold more than is free, in their order."""
    free = plan.machine.free
    return [each for each in plan.stages if free is not None and each.held > free]


def remedies(ground: Ground, planned: StagePlan, machine: Machine) -> list[str]:
    """Settings with which the stage would fit, as --set takes them; empty where none does."""
    assert machine.free is not None, "where nothing is known, nothing is too large"
    stage = ground.recipe.stage(planned.name)
    # What an earlier run showed beyond the formulas stays.
    beyond = planned.held - planned.memory.total
    found = []
    for words, changed, where in _changes(stage, machine):
        if memory_of(ground, changed, where).total + beyond <= machine.free:
            found.append(words)
    return found


def _changes(stage: Stage, machine: Machine) -> Iterator[tuple[str, Stage, Machine]]:
    """The settings to try, from what costs nothing to what changes the method most."""
    name = stage.name
    sampling = getattr(stage, "sampling", None)
    rows = sampling.batch_size // 2 if isinstance(sampling, Sampling) else 0
    while sampling is not None and rows >= FEWEST_ROWS:
        fewer = sampling.model_copy(update={"batch_size": rows})
        yield f"{name}.sampling.batch_size={rows}", _with(stage, sampling=fewer), machine
        rows //= 2
    if isinstance(stage, TrainingStage):
        yield from _of_training(stage, machine)


def _of_training(stage: TrainingStage, machine: Machine) -> Iterator[tuple[str, Stage, Machine]]:
    name = stage.name
    smaller: Stage = stage
    tokens = stage.optim.micro_tokens // 2
    while tokens >= FEWEST:
        optim = stage.optim.model_copy(update={"micro_tokens": tokens})
        smaller = _with(stage, optim=optim)
        yield f"{name}.optim.micro_tokens={tokens}", smaller, machine
        tokens //= 2
    least = f"{name}.optim.micro_tokens={max(FEWEST, tokens * 2)}"
    if machine.width > 2:
        half = replace(machine, width=2)
        yield "dtype=bfloat16", stage, half
        yield f"dtype=bfloat16 and {least}", smaller, half
    if getattr(stage, "lora", 0) is None:
        lora = SharedLora if isinstance(stage, OnPolicy | Rejection) else Lora
        words = f"'{name}.lora={{rank: {RANK}}}'"
        yield words, _with(stage, lora=lora(rank=RANK)), machine
        yield f"{words} and {least}", _with(smaller, lora=lora(rank=RANK)), machine
    if isinstance(stage, Ppo):
        shared = SharedLora(rank=RANK, share=True)
        words = (
            f"'{name}.lora={{rank: {RANK}, share: true}}' with "
            f"'{stage.reward}.lora={{rank: {RANK}}}'"
        )
        yield words, _with(stage, lora=shared), machine
        yield f"{words} and {least}", _with(smaller, lora=shared), machine


def shortest(found: list[str]) -> list[str]:
    """The first of each sort, so that a smaller split is named at the largest that fits; two
    settings at once only where no single one is enough.
    """
    single = [words for words in found if " and " not in words]
    sorts: dict[str, str] = {}
    for words in single or found:
        key = words if words.startswith("'") else words.rpartition("=")[0]
        sorts.setdefault(key, words)
    return list(sorts.values())


def _with(stage: Stage, **settings: Any) -> Stage:
    """The stage with other settings."""
    return stage.model_copy(update=settings)
