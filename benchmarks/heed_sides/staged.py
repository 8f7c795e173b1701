"""A stage of a recipe as a side: the stage's own code up to its training loop, and that in rounds.

The stage loads, wires and chooses as it does for a user of `heed run`, and hands a method to
`Workplace.train`; there the real trainer does its iterations, a few at a time, when it is told to.
Neither held-out measures nor checkpoints are taken: the peers take none.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from heed.config import read_recipe
from heed.feedback.people import nobody
from heed.memory import keep_freed
from heed.metering import METER
from heed.pipeline import STAGES, _precision
from heed.run import Run
from heed.stages.workplace import Summary, Workplace
from heed.trainer import Trainer

Rows = list[dict[str, float]]
Act = Callable[[Trainer[Any], Rows], None]
"""What is done with a stage's trainer, whose rows of metrics gather in the list."""
ENDLESS = 100_000
"""Iterations that the stage is told: more than are ever done, so that the rate stays."""


class EndedError(Exception):
    """No further round is wanted."""


@dataclass(frozen=True)
class Watched(Workplace):
    """A workplace in which training is done round by round."""

    act: Act = field(kw_only=True)

    def train(self, stage: Any, settings: Any, method: Any, **wanted: Any) -> Summary:
        rows: Rows = []
        trainer = Trainer(
            method=method,
            settings=settings,
            run=stage,
            iterations=ENDLESS,
            seed=self.recipe.seed,
            monitor=None,
            callbacks=[lambda _, metrics: rows.append(dict(metrics))],  # type: ignore[list-item,func-returns-value]
            lr_scales=wanted.get("lr_scales") or {},
        )
        self.act(trainer, rows)
        raise EndedError


def act_in_stage(given: dict[str, Any], act: Act) -> None:
    """Run one stage of a recipe on a folder of `benchmarks.material`, up to its training.

    `given`: `folder`, `work` (a directory of the side's own), `kind` and `settings` of the stage,
    `precision`, `before` (stages that it reads from), `models` (stage, place, model of the folder)
    and perhaps `records`, another folder whose records are taken.
    """
    folder, own = Path(given["folder"]), Path(given["work"])
    stages = [{"records": {}}, {"pretrain": {}}, *given.get("before", [])]
    records = Path(given.get("records", folder)) / "records"
    recipe = {
        "name": "benchmark",
        "device": "cpu",
        "dtype": given["precision"],
        "data": str(records / "comparisons.jsonl"),
        "stages": [*stages, {given["kind"]: given["settings"]}],
    }
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    (own / "records").symlink_to(records)
    for stage, place, model in given["models"]:
        (own / stage).mkdir()
        (own / stage / place).symlink_to(folder / model)
    run = Run(read_recipe("benchmark", json.dumps(recipe)), own)
    stage = run.recipe.stages[-1]
    keep_freed()
    work, at = Watched(run, lambda _: None, lambda _: nobody, act=act), run.stage(stage.name)
    at.start()
    METER.start()
    with _precision(work), suppress(EndedError):
        STAGES[stage.kind](work, stage, at)


class Clock:
    """Wraps a function and adds up the seconds that pass in it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.seconds = 0.0

    def __call__(self, *args: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return self.function(*args, **named)
        finally:
            self.seconds += time.perf_counter() - began


def threads() -> int:
    return torch.get_num_threads()
