"""The plan of a run: plan.json beside its stages, for the report to hold against what was spent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch

from heed.files import write_json
from heed.models.device import has_half, resolve_device, resolve_dtype
from heed.models.speed import free_memory, matrix_speed
from heed.planning.look import look
from heed.planning.memory import PROCESS
from heed.planning.plan import Machine, make_plan
from heed.recipe import Recipe
from heed.run import Run

if TYPE_CHECKING:
    from heed.stages.workplace import Say

PLAN = "plan.json"
BRIEF = 0.1
"""Seconds for which a run tries its machine's speed."""


def machine_of(recipe: Recipe, seconds: float) -> Machine:
    """The machine that a recipe would run on here, its speed tried for so many seconds.

    Raises UserError for a device that this machine does not have.
    """
    device = resolve_device(recipe.device)
    dtype = resolve_dtype(recipe.dtype, device)
    return Machine(
        device=str(device),
        free=free_memory(device),
        speed=matrix_speed(device, dtype, seconds),
        width=2 if dtype == torch.bfloat16 else 4,
        process=PROCESS if device.type == "cpu" else 0,
        half=has_half(device),
    )


def keep_plan(run: Run, say: Say) -> None:
    """Write plan.json, unless this recipe's is there; a run goes on without one where its cost
    cannot be foreseen.
    """
    path = run.directory / PLAN
    try:
        if json.loads(path.read_text(encoding="utf-8"))["keys"] == run.keys:
            return
    except (OSError, ValueError, KeyError, TypeError):
        pass  # there is none yet, or another's
    try:
        plan = make_plan(look(run.recipe), machine_of(run.recipe, BRIEF))
    except Exception as error:
        say(f"{'plan':<10} none: {' '.join(str(error).split()) or type(error).__name__}")
        return
    write_json(path, {**plan.to_json(), "keys": run.keys})
