"""What a run directory says, as records; nothing here knows how it will be shown.

A report must come out of whatever exists: a run cut short, an evaluation without gold reward, a
part that cannot be understood. What is left out is said in `RunView.notes`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from heed.errors import UserError
from heed.report.estimates import Table, estimate, estimates
from heed.stats.intervals import Estimate
from heed.upgrade import refuse_newer

__all__ = ["Gap", "RunView", "Sample", "StageView", "Table", "json_lines", "read_run"]


@dataclass(frozen=True, slots=True)
class StageView:
    """One stage: what it was, what it took, what it measured on the way."""

    name: str
    kind: str
    done: bool
    seconds: float | None
    memory: int | None
    """Bytes held at most."""
    tokens: int | None
    summary: dict[str, Any]
    rows: list[dict[str, Any]]
    settings: dict[str, Any] = field(default_factory=dict)
    """As the recipe gives them."""

    def series(self, metric: str) -> tuple[list[float], list[float]]:
        """(steps, values) of a metric, rows without a finite number left out."""
        found = [
            (float(row["step"]), float(row[metric])) for row in self.rows if _number(row, metric)
        ]
        return [step for step, _ in found], [value for _, value in found]


@dataclass(frozen=True, slots=True)
class Gap:
    """How far one policy lies above another on a measure."""

    better: str
    worse: str
    measure: str
    difference: Estimate


@dataclass(frozen=True, slots=True)
class Sample:
    """A held-out prompt with every policy's answer and, where known, its score."""

    prompt: str
    family: str
    answers: dict[str, str]
    scores: dict[str, float]


@dataclass(slots=True)
class RunView:
    """All that the report shows of a run."""

    name: str
    recipe: dict[str, Any]
    recipe_text: str
    provenance: dict[str, Any]
    stages: list[StageView]
    policies: Table = field(default_factory=dict)
    families: dict[str, Table] = field(default_factory=dict)
    """By policy, family and measure."""
    gaps: list[Gap] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    reward_model: dict[str, Estimate] = field(default_factory=dict)
    baselines: dict[str, Estimate] = field(default_factory=dict)
    hallucination: dict[str, Table] = field(default_factory=dict)
    """By policy, how often the fact was seen, and outcome."""
    picking: dict[str, Table] = field(default_factory=dict)
    """By policy, family (or "all"), and what is written, picked, and the best of both."""
    own_reward: dict[str, tuple[str, dict[str, Estimate]]] = field(default_factory=dict)
    """By policy, the reward model that it learned from, and what it gained by that and by gold."""
    means: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    """By policy, measure and prompt; none of older evaluations."""
    prompt_families: dict[str, str] = field(default_factory=dict)
    """By prompt."""
    notes: list[str] = field(default_factory=list)
    folder: str = ""
    """The run directory's own name."""
    names: dict[tuple[str, str], str] = field(default_factory=dict)
    """(evaluation, label) -> what the page calls the policy, where that is not its label."""

    def called(self, stage: str, label: str) -> str:
        """What the page calls a policy that an evaluation measured."""
        return self.names.get((stage, label), label)


def read_run(directory: Path) -> RunView:
    """Read a run directory, finished or not.

    Raises:
        UserError: the directory holds no recipe.yaml, or one that no run wrote, or a run of a
            newer version of Heed.
    """
    refuse_newer(directory)
    path = directory / "recipe.yaml"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): {directory} is no run directory. "
            "Name the folder that `heed run` wrote, such as runs/demo."
        ) from error
    recipe = _recipe(path, text)
    view = RunView(
        name=str(recipe.get("name") or directory.name),
        recipe=recipe,
        recipe_text=text,
        provenance=_json(directory / "provenance.json"),
        stages=_stages(directory, recipe),
        folder=directory.name,
    )
    for stage in view.stages:
        if stage.kind in ("reward", "ensemble"):
            _read_reward(view, stage.summary)
        if stage.kind == "evaluate" and stage.done:
            _read_measures(view, directory / stage.name / "measures.json")
            _read_means(view, stage.name, _json(directory / stage.name / "by_prompt.json"))
        notes = stage.summary.get("notes") or []
        view.notes += [f"{stage.name}: {note}" for note in notes]
        if not stage.done:
            view.notes.append(
                f"{stage.name}: not finished under these settings; heed run goes on with it."
            )
    return view


def _recipe(path: Path, text: str) -> dict[str, Any]:
    """A recipe as `heed run` writes it out: every stage a mapping of its kind to its settings."""
    try:
        recipe = yaml.safe_load(text)
        stages = recipe.get("stages") or []
        resolved = all(len(item) == 1 and isinstance(item, dict) for item in stages)
    except (yaml.YAMLError, AttributeError, TypeError):
        resolved = False
    if not resolved:
        raise UserError(
            f"{path} is not a recipe as heed run writes it into a run's directory. Name the folder "
            "that `heed run` wrote, such as runs/demo."
        )
    return dict(recipe)


def _stages(directory: Path, recipe: Mapping[str, Any]) -> list[StageView]:
    """Every stage of the recipe, in its order, but for the one that writes this report."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in json_lines(directory / "metrics.jsonl"):
        rows.setdefault(row["stage"], []).append(row)
    keys = _json(directory / "keys.json")
    stages = []
    for item in recipe.get("stages") or []:
        kind, settings = next(iter(item.items()))
        if kind == "report":
            continue
        name = (settings or {}).get("name") or kind
        done = _json(directory / name / "done.json")
        if keys and done.get("key") != keys.get(name):
            done = {}  # made under other settings: no result of this recipe
        summary = done.get("summary") or {}
        stages.append(
            StageView(
                name=name,
                kind=kind,
                done=bool(done),
                seconds=done.get("seconds"),
                memory=done.get("memory"),
                tokens=_whole(done.get("tokens", summary.get("tokens"))),
                summary=summary,
                rows=rows.get(name) or rows.get(f"{name}.0", []),  # an ensemble's first member
                settings=settings or {},
            )
        )
    return stages


def _read_measures(view: RunView, path: Path) -> None:
    measures = _json(path)
    stage = path.parent.name
    _name(view, stage, measures.get("policies") or {})
    for policy, table in (measures.get("policies") or {}).items():
        view.policies[view.called(stage, policy)] = _known(table, view, path, "policies", policy)
    for name, target in (
        ("families", view.families),
        ("hallucination", view.hallucination),
        ("picking", view.picking),
    ):
        for policy, tables in (measures.get(name) or {}).items():
            target[view.called(stage, policy)] = {
                key: _known(table, view, path, name, policy, key) for key, table in tables.items()
            }
    for policy, found in (measures.get("own_reward") or {}).items():
        view.own_reward[view.called(stage, policy)] = (found["reward"], estimates(found))
    for gap in measures.get("gaps") or []:
        difference = estimate(gap.get("difference"))
        if difference is not None:
            better, worse = (view.called(stage, gap[key]) for key in ("better", "worse"))
            view.gaps.append(Gap(better, worse, gap["measure"], difference))
    for sample in measures.get("samples") or []:
        answers, scores = (
            {view.called(stage, label): said for label, said in table.items() if said is not None}
            for table in (sample["answers"], sample.get("scores") or {})
        )
        view.samples.append(Sample(sample["prompt"], sample.get("family", ""), answers, scores))
    _read_reward(view, measures.get("reward_model") or {})


def _read_means(view: RunView, stage: str, found: Mapping[str, Any]) -> None:
    view.prompt_families.update(found.get("families") or {})
    for policy, means in (found.get("policies") or {}).items():
        view.means[view.called(stage, policy)] = {
            measure: {prompt: row[prompt] for prompt in row if _number(row, prompt)}
            for measure, row in means.items()
        }


def _name(view: RunView, stage: str, labels: Iterable[str]) -> None:
    """A label that an evaluation before used is called after this one, too."""
    for label in labels:
        if label in view.policies:
            view.names[stage, label] = f"{label} ({stage})"


def _read_reward(view: RunView, found: Mapping[str, Any]) -> None:
    """A reward model's accuracies; everything else in a summary is shown with its stage."""
    view.reward_model.update(estimates(found))
    view.baselines.update(estimates(found.get("baselines")))


def _known(table: Mapping[str, Any], view: RunView, path: Path, *keys: str) -> dict[str, Estimate]:
    """The entries of a table that are estimates; the others are noted."""
    found = estimates(table)
    for name in table:
        if name not in found:
            where = ".".join((*keys, name))
            view.notes.append(
                f"{path.parent.name}/{path.name}, {where} is no figure with an interval and is "
                "not shown."
            )
    return found


def _whole(count: float | None) -> int | None:
    return None if count is None else int(count)


def _number(row: Mapping[str, Any], metric: str) -> bool:
    value = row.get(metric)
    return isinstance(value, int | float) and math.isfinite(value)


def _json(path: Path) -> dict[str, Any]:
    """A file's JSON object, {} where there is no such file."""
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read as JSON ({error}). Remove the file and run again."
        ) from error
    return value if isinstance(value, dict) else {}


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file; a line that a kill cut short is passed over."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                yield json.loads(line)
