"""Runs side by side become one self-contained page, and its figures as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from heed.files import write_json, write_text
from heed.report import figures
from heed.report.beside import (
    Difference,
    Row,
    Side,
    compared,
    notes,
    read_sides,
    same_policy,
    settings_that_differ,
)
from heed.report.lines import COLOURS, key, lines
from heed.report.live import chief
from heed.report.measures import METRICS, measure_of, number, policy_name, with_interval
from heed.report.paper import fill
from heed.report.read import Gap, StageView
from heed.report.series import thinned
from heed.report.verdict import BETTER, UNCLEAR, WORSE, verdict

POINTS = 120
"""Of a curve, before it is smoothed."""
MOST = 12
"""Metrics drawn of a stage."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference on the chief measure, in words."""

    verdict: str
    says: str


@dataclass(frozen=True, slots=True)
class Table:
    """A policy's measures in all runs."""

    policy: str
    same: list[str]
    """The runs whose policy is the first's own: nothing that it depends on was set otherwise."""
    same_in_all: bool
    rows: list[Row]
    notes: list[str]


def write_side_by_side(directories: Sequence[Path], out: Path | None = None) -> Path:
    """Write a page that compares runs, and its figures as JSON under the same name.

    Args:
        directories: the runs, the first being what the others are held against.
        out: where the page goes, ending in .html; by default beside the last run, called after all.

    Returns:
        the page's path.

    Raises:
        UserError: one of them is no run's directory, or is named twice.
    """
    sides = read_sides(directories)
    names = "-beside-".join(side.directory.resolve().name for side in sides)
    path = out or directories[-1].resolve().parent / f"{names[:120]}.html"
    rows = compared(sides)
    write_json(path.with_suffix(".json"), as_json(sides, rows))
    write_text(path, render(sides, rows))
    return path


def as_json(sides: Sequence[Side], rows: Sequence[Row]) -> dict[str, Any]:
    """What the JSON holds: the runs, in what they differ, every figure and difference."""
    policies: dict[str, dict[str, Any]] = {}
    for row in rows:
        policies.setdefault(row.policy, {})[row.measure] = {
            "figures": [figure.to_json() for figure in row.figures],
            "differences": [_json(found) for found in row.differences],
        }
    return {
        "runs": [
            {"letter": side.letter, "directory": str(side.directory), "name": side.view.name,
             "seed": side.view.recipe.get("seed")}
            for side in sides
        ],
        "settings": [{"setting": name, "values": values}
                     for name, values in settings_that_differ(sides)],
        "policies": policies,
        "notes": notes(sides),
    }  # fmt: skip


def render(sides: Sequence[Side], rows: Sequence[Row]) -> str:
    """The page as HTML; every text of the runs is escaped."""
    policies = list(dict.fromkeys(row.policy for row in rows))
    chiefly = _chief_measure(rows)
    return fill(
        "side_by_side.html",
        sides=sides,
        keys=[key(at) for at in range(len(sides))],
        others=sides[1:],
        settings=settings_that_differ(sides),
        notes=notes(sides),
        findings=_findings(sides, rows, chiefly),
        chiefly=measure_of(chiefly) if chiefly else None,
        drawn=_drawn(sides, rows, chiefly) if chiefly else None,
        tables=[_table(sides, policy, rows) for policy in policies],
        told=_told,
        curves=_curves(sides),
        stages=_stages(sides),
        paired=_paired(rows),
    )  # fmt: skip


def _json(found: Difference | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {**found.estimate.to_json(), "paired": found.paired, "prompts": found.prompts,
            "why_unpaired": found.why}  # fmt: skip


def _chief_measure(rows: Sequence[Row]) -> str | None:
    """What the runs are judged by: gold where it is known, else right answers, else a score."""
    told = {row.measure for row in rows if all(row.differences)}
    better = [name for name in ("gold", "correct", "proxy") if name in told]
    return next(iter(better), None)


def _table(sides: Sequence[Side], policy: str, rows: Sequence[Row]) -> Table:
    same = [side.letter for side in sides[1:] if same_policy(sides[0], side, policy)]
    own = [row for row in rows if row.policy == policy]
    return Table(policy, same, len(same) == len(sides) - 1, own, _how(sides, own))


def _how(sides: Sequence[Side], rows: Sequence[Row]) -> list[str]:
    """Over how many prompts the differences are paired, and why others are not."""
    said = []
    for at, side in enumerate(sides[1:]):
        found = [each for row in rows if (each := row.differences[at]) is not None]
        counts = {each.prompts for each in found if each.paired}
        pair = f"{side.letter} − {sides[0].letter}"
        if counts:
            low, high = min(counts), max(counts)
            told = f"{low:,}" if low == high else f"{low:,} to {high:,}"
            said.append(f"{pair} is paired over {told} prompts.")
        for why in dict.fromkeys(each.why for each in found if not each.paired):
            said.append(f"{pair} is not paired where {why}.")
    return said


def _findings(sides: Sequence[Side], rows: Sequence[Row], measure: str | None) -> list[Finding]:
    """The differences on the chief measure, of policies that are not the same, in words."""
    found = []
    for row in rows:
        for side, difference in zip(sides[1:], row.differences, strict=True):
            if row.measure != measure or difference is None:
                continue
            if same_policy(sides[0], side, row.policy):
                continue
            says = _verdict(row.measure, difference)
            how = "" if difference.paired else ", not paired"
            figure = with_interval(difference.estimate, measure_of(row.measure))
            pair = f"{policy_name(row.policy)} of {side.letter} against that of {sides[0].letter}"
            found.append(Finding(says, f"{pair}: {figure}{how}, {_WORDS[says]}."))
    return found


_WORDS = {
    BETTER: "better beyond the 95% interval",
    WORSE: "worse beyond the 95% interval",
    UNCLEAR: "no difference shown",
}


def _verdict(measure: str, found: Difference) -> str:
    return verdict(Gap("", "", measure, found.estimate))


def _told(row: Row, found: Difference) -> str:
    """The class of a difference in the table; a cost is only read."""
    return _verdict(row.measure, found) if measure_of(row.measure).better else ""


def _drawn(sides: Sequence[Side], rows: Sequence[Row], measure: str) -> Markup:
    """The chief measure of every policy in every run."""
    what = measure_of(measure)
    colour = {side.letter: COLOURS[at % len(COLOURS)] for at, side in enumerate(sides)}
    found = {
        policy_name(row.policy): dict(zip(colour, row.figures, strict=True))
        for row in rows
        if row.measure == measure
    }
    letters = " and ".join(colour)
    return figures.dots(
        found, colour, label=what.label.lower() + (f", {what.unit}" if what.unit else ""),
        description=f"{what.label} of the policies of {letters}", share=what.share,
    )  # fmt: skip


def _paired(rows: Sequence[Row]) -> tuple[int, int]:
    """How many differences are paired, of how many."""
    found = [each for row in rows for each in row.differences if each is not None]
    return sum(each.paired for each in found), len(found)


def _curves(sides: Sequence[Side]) -> list[tuple[str, list[Markup]]]:
    """(stage, its chief metrics, the runs' curves in one figure) of stages that two runs trained.

    A stage under the same key in all of them is the same training and is left out.
    """
    drawn = []
    for name in dict.fromkeys(stage.name for side in sides for stage in side.view.stages):
        stages = {at: stage for at, side in enumerate(sides) for stage in side.view.stages
                  if stage.name == name and stage.rows}  # fmt: skip
        if len(stages) < 2 or len({sides[at].keys.get(name, at) for at in stages}) == 1:
            continue
        kind = next(iter(stages.values())).kind
        metrics = [metric for group in chief(kind) if (metric := _logged(group, stages))][:MOST]
        found = [_overlaid(name, metric, stages, sides) for metric in metrics]
        if found:
            drawn.append((name, found))
    return drawn


def _logged(group: Sequence[str], stages: Mapping[int, StageView]) -> str | None:
    """The first metric of a group that two runs logged."""
    for metric in group:
        if sum(bool(stage.series(metric)[0]) for stage in stages.values()) >= 2:
            return metric
    return None


def _overlaid(
    name: str, metric: str, stages: Mapping[int, StageView], sides: Sequence[Side]
) -> Markup:
    what = METRICS.get(metric) or measure_of(metric)
    curves, faint, ends = {}, [], []
    for at, stage in stages.items():
        steps, values = stage.series(metric)
        if not steps:
            continue
        x, y = thinned(steps, values, POINTS)
        faint.append((x, y))
        curves[at] = (x, figures.smooth(y).tolist())
        ends.append(f"{sides[at].letter} ends at {number(values[-1])}")
    description = f"{name}: {what.label} over iterations; {', '.join(ends)}"
    return lines(curves, what, description=description, faint=faint)


def _stages(sides: Sequence[Side]) -> list[tuple[str, list[float | None]]]:
    """(stage, the seconds that it took in every run)."""
    names = dict.fromkeys(stage.name for side in sides for stage in side.view.stages)
    tables = [{stage.name: stage.seconds for stage in side.view.stages} for side in sides]
    return [(name, [table.get(name) for table in tables]) for name in names]
