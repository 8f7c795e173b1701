"""What to change where a stage would not fit: settings, tried by the same formulas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from heed.planning.ground import Ground
from heed.planning.plan import HALF, Machine, Plan, StagePlan, memory_of
from heed.recipe import Lora, OnPolicy, Ppo, Rejection, Sampling, SharedLora, Stage, TrainingStage

FEWEST = 256
"""Tokens of a forward pass below which it is not worth asking for less."""
FEWEST_ROWS = 8
RANK = 16


@dataclass(frozen=True)
class Change:
    """Settings as --set takes them, the stage that has them, and whether forward passes are in
    bfloat16 then.
    """

    words: str
    stage: Stage
    half: bool = False


def too_large(plan: Plan) -> list[StagePlan]:
    """The stages that would hold more than is free, in their order."""
    free = plan.machine.free
    return [each for each in plan.stages if free is not None and each.held > free]


def remedies(ground: Ground, planned: StagePlan, machine: Machine) -> list[str]:
    """Settings with which the stage would fit on a machine; empty where none does."""
    free = machine.free
    assert free is not None, "where nothing is known, nothing is too large"
    # What an earlier run showed beyond the formulas stays.
    beyond = planned.held - planned.memory.total

    def fits(change: Change) -> bool:
        where = replace(machine, width=HALF) if change.half else machine
        return memory_of(ground, change.stage, where).total + beyond <= free

    stage = ground.recipe.stage(planned.name)
    return fitting(stage, fits, half=machine.width > HALF and machine.half is not False)


def fitting(stage: Stage, fits: Callable[[Change], bool], *, half: bool) -> list[str]:
    """Settings under which a stage fits, as --set takes them, from what costs nothing to what
    changes the method most; `half`: whether bfloat16 is worth trying.
    """
    return [change.words for change in _changes(stage, half=half) if fits(change)]


def _changes(stage: Stage, *, half: bool) -> Iterator[Change]:
    name = stage.name
    sampling = getattr(stage, "sampling", None)
    rows = sampling.batch_size // 2 if isinstance(sampling, Sampling) else 0
    while sampling is not None and rows >= FEWEST_ROWS:
        fewer = sampling.model_copy(update={"batch_size": rows})
        yield Change(f"{name}.sampling.batch_size={rows}", _with(stage, sampling=fewer))
        rows //= 2
    if isinstance(stage, TrainingStage):
        yield from _of_training(stage, half=half)


def _of_training(stage: TrainingStage, *, half: bool) -> Iterator[Change]:
    name = stage.name
    smaller: Stage = stage
    least, tokens = "", stage.optim.micro_tokens // 2
    while tokens >= FEWEST:
        optim = stage.optim.model_copy(update={"micro_tokens": tokens})
        smaller = _with(stage, optim=optim)
        least = f"{name}.optim.micro_tokens={tokens}"
        yield Change(least, smaller)
        tokens //= 2
    for words, settings, bfloat16 in _methods(stage, half=half):
        yield Change(words, _with(stage, **settings), bfloat16)
        if least:
            yield Change(f"{words} and {least}", _with(smaller, **settings), bfloat16)


def _methods(stage: TrainingStage, *, half: bool) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Settings of which each may be enough by itself or with few tokens a pass."""
    name = stage.name
    if not stage.checkpoint_activations:
        yield f"{name}.checkpoint_activations=true", {"checkpoint_activations": True}, False
    if half:
        yield "dtype=bfloat16", {}, True
    if getattr(stage, "lora", 0) is None:
        lora = SharedLora if isinstance(stage, OnPolicy | Rejection) else Lora
        yield f"'{name}.lora={{rank: {RANK}}}'", {"lora": lora(rank=RANK)}, False
    if isinstance(stage, Ppo) and not (stage.lora and stage.lora.share):
        words = (
            f"'{name}.lora={{rank: {RANK}, share: true}}' with "
            f"'{stage.reward}.lora={{rank: {RANK}}}'"
        )
        shared = SharedLora(rank=RANK, share=True)
        yield words, {"lora": shared, "shard": False, "checkpoint_activations": False}, False


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
