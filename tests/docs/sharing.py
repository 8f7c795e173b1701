"""Recipes that begin alike share what they begin with: a stage that one command finished is there
for the next, under the same key, as if the run had been stopped behind it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from heed import pipeline
from heed.recipe import Recipe, Report
from heed.run import Run, StageRun

ROWS = ("metrics.jsonl", "timing.jsonl")
"""Files of a run that hold rows of all its stages."""


def _rows(stage: StageRun, file: str) -> list[str]:
    path = stage.run / file
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [line for line in lines if f'"stage": "{stage.name}"' in line]


class Finished:
    """Stages that were finished, in a folder of their own, whatever becomes of their runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _of(self, stage: StageRun) -> Path:
        return self.folder / f"{stage.name}-{stage.key}"

    def give(self, run: Run, recipe: Recipe) -> None:
        """Lay what is finished elsewhere, and not yet begun here, into the run."""
        for settings in recipe.stages:
            stage = run.stage(settings.name)
            kept = self._of(stage)
            if kept.exists() and not stage.directory.exists():
                shutil.copytree(kept / "stage", stage.directory)
                for file in ROWS:
                    with (run.directory / file).open("a", encoding="utf-8") as rows:
                        rows.write((kept / file).read_text(encoding="utf-8"))

    def take(self, run: Run, recipe: Recipe) -> None:
        """Keep what the run has finished. A report stands outside its stage's folder."""
        for settings in recipe.stages:
            stage = run.stage(settings.name)
            kept = self._of(stage)
            if not isinstance(settings, Report) and stage.done() and not kept.exists():
                shutil.copytree(stage.directory, kept / "stage")
                for file in ROWS:
                    lines = "".join(f"{line}\n" for line in _rows(stage, file))
                    (kept / file).write_text(lines, encoding="utf-8")


@contextmanager
def sharing(finished: Finished) -> Iterator[None]:
    """Every run of a recipe gives and takes."""
    carry_out = pipeline.run_recipe

    def shared(run: Run, say: Any, only: Recipe | None = None, *desk: Any) -> None:
        finished.give(run, only or run.recipe)
        carry_out(run, say, only, *desk)
        finished.take(run, only or run.recipe)

    pipeline.run_recipe = shared
    try:
        yield
    finally:
        pipeline.run_recipe = carry_out
