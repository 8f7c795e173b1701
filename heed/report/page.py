"""A run directory becomes one self-contained page, and its figures as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from heed.files import write_json, write_text
from heed.report.advice import advice
from heed.report.answers import Answer, answers
from heed.report.estimates import Table
from heed.report.measures import duration, stage_name
from heed.report.paper import fill
from heed.report.part import QUESTIONS, Part
from heed.report.parts import PARTS
from heed.report.read import RunView, StageView, read_run
from heed.report.verdict import headline, verdict
from heed.stats.intervals import Estimate


@dataclass(frozen=True, slots=True)
class Group:
    """A question of the reader, and the parts that answer it as HTML."""

    question: str
    answer: Answer
    findings: tuple[str, ...]
    parts: list[tuple[Part, Markup]]


def write_report(run_directory: Path) -> Path:
    """Write report.json and report.html into a run directory, whatever of the run exists.

    Returns:
        the path of report.html.

    Raises:
        UserError: the directory is no run directory.
    """
    view = read_run(run_directory)
    parts = parts_of(run_directory, view)
    write_json(run_directory / "report.json", as_json(view, parts))
    path = run_directory / "report.html"
    write_text(path, render(view, parts))
    return path


def parts_of(run_directory: Path, view: RunView) -> list[Part]:
    """The parts that have something to say of a run. One that cannot understand what was left, as
    by another version of Heed, is named in the view's notes and costs the reader no other.
    """
    found = []
    for read in PARTS:
        try:
            part = read(run_directory, view)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            name = read.__module__.rpartition(".")[2].replace("_", " ")
            view.notes.append(
                f"What the run left for the section {name!r} is not as this version of Heed writes "
                f"it, and is not shown ({type(error).__name__}: {error}); heed run --fresh makes "
                "it anew."
            )
        else:
            found += [part] if part else []
    return found


def as_json(view: RunView, parts: Sequence[Part]) -> dict[str, Any]:
    """What report.json holds: `policies.<policy>.<measure> = {mean, low, high, n}` and so on."""
    reward = _json_row(view.reward_model)
    return {
        "name": view.name,
        "headline": headline(view),
        "answers": {each.question: each.to_json() for each in answers(view, parts)},
        "advice": advice(view, parts),
        "policies": _json_table(view.policies),
        "reward_model": {**reward, "baselines": _json_row(view.baselines)} if reward else {},
        "gaps": [
            {
                "better": gap.better,
                "worse": gap.worse,
                "measure": gap.measure,
                "difference": gap.difference.to_json(),
                "verdict": verdict(gap),
            }
            for gap in view.gaps
        ],
        "families": {policy: _json_table(table) for policy, table in view.families.items()},
        "hallucination": {
            policy: _json_table(table) for policy, table in view.hallucination.items()
        },
        "picking": {policy: _json_table(table) for policy, table in view.picking.items()},
        "own_reward": {
            policy: {"reward": name, **_json_row(found)}
            for policy, (name, found) in view.own_reward.items()
        },
        "stages": [
            {
                "name": stage.name,
                "kind": stage.kind,
                "done": stage.done,
                "seconds": stage.seconds,
                "memory": stage.memory,
                "tokens": stage.tokens,
            }
            for stage in view.stages
        ],
        "notes": view.notes,
        "recipe": view.recipe,
        "seed": view.recipe.get("seed"),
        "versions": view.provenance.get("versions") or {},
        **{part.name: part.json for part in parts if part.json is not None},
    }


def render(view: RunView, parts: Sequence[Part]) -> str:
    """The page as HTML; every text of the run is escaped."""
    return fill(
        "run.html",
        view=view,
        headline=headline(view),
        spent=_spent(view.stages),
        groups=[
            _group(QUESTIONS[answer.question], answer, parts) for answer in answers(view, parts)
        ],
        advice=advice(view, parts),
        appendix=[(part, _filled(part)) for part in parts if part.question == "appendix"],
    )


def _group(question: str, answer: Answer, parts: Sequence[Part]) -> Group:
    own = [part for part in parts if part.question == answer.question]
    return Group(
        question,
        answer,
        findings=tuple(finding for part in own for finding in part.findings),
        parts=[(part, _filled(part)) for part in own],
    )


def _filled(part: Part) -> Markup:
    """A part as HTML, its headings one below its title; no text of a run holds a tag any more."""
    text = fill(part.template, **part.values)
    return Markup(text.replace("<h3", "<h4").replace("</h3>", "</h4>"))


def _json_row(row: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: estimate.to_json() for name, estimate in row.items()}


def _json_table(table: Table) -> dict[str, Any]:
    return {name: _json_row(row) for name, row in table.items()}


def _spent(stages: Sequence[StageView]) -> str:
    """What the whole run took, in one line."""
    done = [stage for stage in stages if stage.done]
    if not done:
        return ""
    seconds = sum(stage.seconds or 0.0 for stage in done)
    names = ", ".join(stage_name(stage.name) for stage in done)
    return f"{names}: {duration(seconds)} in all."
