"""W&B: offline, unless the environment variable WANDB_MODE says otherwise.

A login alone sends nothing: one machine serves many projects, and not all may leave it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from shutil import rmtree
from typing import Any

# What the package tells its makers of errors and use, over the network, in offline mode too. It is
# read once, when the package is imported; whoever wants it sets the variable.
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")

import wandb

from heed.tracking.tracker import Tracked

PROJECT = "heed"


class WeightsAndBiases:
    """Offline, every process writes one file anew from the start, `wandb sync` sends it. Online a
    run is resumed under its id, and what was sent stays.
    """

    def __init__(self, run: Tracked) -> None:
        mode: Any = os.environ.get("WANDB_MODE", "offline")  # wandb says which it knows
        self.lasting = mode in ("online", "shared")
        for old in (run.directory / "wandb").glob(f"offline-run-*-{run.id}"):
            rmtree(old)
        run.directory.mkdir(parents=True, exist_ok=True)
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run.name,
            id=run.id,
            dir=str(run.directory),
            config=dict(run.settings),
            mode=mode,
            resume="allow" if self.lasting else None,
            # Metrics alone: no console, code, packages, or figures of the machine.
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                save_code=False,
                x_disable_stats=True,
                x_disable_meta=True,
                x_disable_machine_info=True,
                x_save_requirements=False,
            ),
        )
        self.known: set[str] = set()

    def scalars(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        # W&B counts rows over all stages; a stage's metrics are drawn over its own steps.
        at = f"{stage}/step"
        if stage not in self.known:
            self.run.define_metric(at, hidden=True)
            self.run.define_metric(f"{stage}/*", step_metric=at)
            self.known.add(stage)
        self.run.log({at: step, **{f"{stage}/{name}": value for name, value in values.items()}})

    def text(self, name: str, text: str) -> None:
        self.run.summary[name] = text

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.run.log({name: wandb.Table(columns=list(columns), data=[list(row) for row in rows])})

    def figures(self, values: Mapping[str, float]) -> None:
        self.run.summary.update(dict(values))

    def close(self) -> None:
        self.run.finish()
