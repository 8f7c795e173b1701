"""What trackers are told once a stage is finished: its figures, samples, where the report is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from heed.recipe import Evaluate, Report
from heed.run import Run
from heed.tracking.tracker import Tracker, as_markdown

Told = Callable[[Tracker], None]


def results(run: Run, stage: str, summary: Mapping[str, Any]) -> Iterator[Told]:
    """One thing to tell after another; an interval's ends stand beside its figure."""
    figures = dict(flat(summary, stage))
    if figures:
        yield lambda tracker: tracker.figures(figures)
    settings = run.recipe.stage(stage)
    if isinstance(settings, Evaluate):
        yield from _measured(stage, run.directory / stage / "measures.json")
    if isinstance(settings, Report):
        page = (run.directory / "report.html").resolve()
        yield lambda tracker: tracker.text("report", f"[The report]({page.as_uri()}): `{page}`")


def flat(value: Any, name: str) -> Iterator[tuple[str, float]]:
    """Numbers under their names; an interval's mean under its own, its ends beside it. Lists hold
    what only a report can show.
    """
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int | float):
        yield name, float(value)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flat(inner, name if key == "mean" else f"{name}/{key}")


def _measured(stage: str, file: Path) -> Iterator[Told]:
    """An evaluation's measures, by policy, and some of its samples side by side."""
    measures = json.loads(file.read_text(encoding="utf-8"))
    policies, samples = measures["policies"], measures["samples"]
    figures = dict(flat(policies, stage))
    yield lambda tracker: tracker.figures(figures)
    names = list(dict.fromkeys(name for found in policies.values() for name in found))
    rows = [[name, *(_shown(found.get(name)) for found in policies.values())] for name in names]
    table = as_markdown(["measure [95%]", *policies], rows)
    yield lambda tracker: tracker.text(f"{stage}/measures", table)
    answers = [
        [row["prompt"], row["family"], *(row["answers"].get(label, "") for label in policies)]
        for row in samples
    ]
    columns = ["prompt", "family", *policies]
    yield lambda tracker: tracker.table(f"{stage}/samples", columns, answers)


def _shown(found: Mapping[str, float | None] | None) -> str:
    if found is None or found["mean"] is None:
        return ""
    bounds = [found["low"], found["high"]]
    ends = "" if None in bounds else f" [{bounds[0]:.3g}, {bounds[1]:.3g}]"
    return f"{found['mean']:.3g}{ends}"
