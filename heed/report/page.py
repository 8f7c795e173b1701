"""A run directory becomes one self-contained page, and its figures as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from heed.files import write_json, write_text
from heed.report import figures
from heed.report.learning import panels, sentences
from heed.report.measures import (
    COST,
    CURVES,
    METRICS,
    QUALITY,
    Measure,
    duration,
    in_order,
    measure_of,
    number,
    stage_name,
)
from heed.report.paper import fill
from heed.report.part import Part
from heed.report.parts import PARTS
from heed.report.read import RunView, StageView, Table, read_run
from heed.report.verdict import findings, headline, main_measure, told, verdict
from heed.stats.intervals import Estimate

MOST_SAMPLES = 24
_REWARD_ROWS = {"accuracy": "Reward model", "noise_ceiling": "Noise ceiling"}
_BASELINES = {"length": "Length alone", "tfidf": "Words alone (TF-IDF)"}
_EXPOSURES = {"seen_often": "Seen often", "seen_once": "Seen once", "never": "Never seen"}


def write_report(run_directory: Path) -> Path:
    """Write report.json and report.html into a run directory, whatever of the run exists.

    Returns:
        the path of report.html.

    Raises:
        UserError: the directory is no run directory.
    """
    view = read_run(run_directory)
    parts = [part for read in PARTS if (part := read(run_directory, view))]
    write_json(run_directory / "report.json", as_json(view, parts))
    path = run_directory / "report.html"
    write_text(path, render(view, parts))
    return path


def as_json(view: RunView, parts: Sequence[Part] = ()) -> dict[str, Any]:
    """What report.json holds: `policies.<policy>.<measure> = {mean, low, high, n}` and so on."""
    reward = _json_row(view.reward_model)
    return {
        "name": view.name,
        "headline": headline(view),
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
        **{part.name: part.json for part in parts},
    }


def render(view: RunView, parts: Sequence[Part] = ()) -> str:
    """The page as HTML; every text of the run is escaped."""
    policies = list(view.policies)
    return fill(
        "run.html",
        view=view,
        headline=headline(view),
        spent=_spent(view.stages),
        findings=findings(view),
        other_gaps=[
            (gap, verdict(gap)) for gap in told(view) if gap.measure != main_measure(view.gaps)
        ],
        colours=figures.colours(policies),
        policies=policies,
        quality=_measures(view.policies, quality=True),
        cost=_measures(view.policies, quality=False),
        answers=_range({e.n for table in view.policies.values() for e in table.values()}),
        family_figure=_family_figure(view),
        family_tables=_family_tables(view),
        exposures=_exposures(view),
        picked=_picked(view),
        reward_figure=_reward_figure(view),
        curves=[(stage, drawn) for stage in view.stages if (drawn := _curves(stage))],
        proxy_gold=_proxy_gold(view.stages),
        learnt=_learnt(view),
        learnt_says=[says for panel in panels(view) for says in sentences(panel)],
        facts=[(stage, _facts(stage.summary)) for stage in view.stages],
        samples=view.samples[:MOST_SAMPLES],
        parts=[(part, Markup(fill(part.template, **part.values))) for part in parts],
    )


def _json_row(row: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: estimate.to_json() for name, estimate in row.items()}


def _json_table(table: Table) -> dict[str, Any]:
    return {name: _json_row(row) for name, row in table.items()}


def _measures(table: Table, *, quality: bool) -> dict[str, Measure]:
    """The measures that any policy has, known ones in their order."""
    found = [name for row in table.values() for name in row if (name not in COST) == quality]
    return {name: measure_of(name) for name in in_order(found, QUALITY if quality else COST)}


def _range(counts: set[int]) -> str:
    """How many values a table's figures rest on."""
    low, high = min(counts, default=0), max(counts, default=0)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _family_tables(view: RunView) -> list[tuple[str, Measure, list[str]]]:
    """(key, measure, families) of each measure that is known by family."""
    found = [name for table in view.families.values() for row in table.values() for name in row]
    tables = []
    for key in in_order(found, [*QUALITY, *COST]):
        names = dict.fromkeys(
            family
            for table in view.families.values()
            for family, row in table.items()
            if key in row and math.isfinite(row[key].mean)
        )
        tables.append((key, measure_of(key), list(names)))
    return tables


def _family_figure(view: RunView) -> Markup | None:
    tables = _family_tables(view)
    return figures.by_family(view.families, tables[0][0]) if tables else None


def _exposures(view: RunView) -> list[tuple[str, str]]:
    """(key, label) of the ways a fact was met in the corpus."""
    found = [key for table in view.hallucination.values() for key in table]
    return [
        (key, _EXPOSURES.get(key, key.replace("_", " "))) for key in in_order(found, _EXPOSURES)
    ]


def _picked(view: RunView) -> list[str]:
    """The families whose picks are shown, all together first; a single one says nothing more."""
    found = in_order([family for table in view.picking.values() for family in table], ["all"])
    return found if len(found) > 2 else found[:1]


def _reward_figure(view: RunView) -> Markup | None:
    rows = {_BASELINES.get(name, name): found for name, found in view.baselines.items()}
    rows |= {
        label: view.reward_model[key]
        for key, label in _REWARD_ROWS.items()
        if key in view.reward_model
    }
    return figures.accuracies(rows, _REWARD_ROWS["accuracy"]) if rows else None


def _curves(stage: StageView) -> list[Markup]:
    """The stage's metrics that matter; of an unknown kind the first six that are numbers."""
    known = CURVES.get(stage.kind)
    logged = dict.fromkeys(name for row in stage.rows for name in row)
    groups = known or [(name,) for name in logged if name not in ("stage", "step")][:6]
    drawn = []
    for group in groups:
        found = next((name for name in group if len(stage.series(name)[0]) > 1), None)
        if found:
            metric = METRICS.get(found) or measure_of(found)
            steps, values = stage.series(found)
            drawn.append(
                figures.curve(stage.name, steps, values, label=metric.label, unit=metric.unit)
            )
    return drawn


def _proxy_gold(stages: list[StageView]) -> list[Markup]:
    """The proxy-against-gold figures of the stages that logged both."""
    wanted = ("proxy", "gold", "kl")
    curves = {}
    for stage in stages:
        rows = [
            {name: row[name] for name in wanted}
            for row in stage.rows
            if all(row.get(name) is not None for name in wanted)
        ]
        if len(rows) > 1:
            # A sampled KL may fall below 0 by chance.
            x = [math.sqrt(max(0.0, row["kl"])) for row in rows]
            curves[stage.name] = (x, [row["proxy"] for row in rows], [row["gold"] for row in rows])
    return figures.proxy_gold(curves, "√KL from the reference, √nats") if curves else []


def _learnt(view: RunView) -> list[Markup]:
    """What checks taught, a panel a check; colours as on the whole page."""
    found = panels(view)
    names = [name for panel in found for name in (*panel.starts, *panel.lines)]
    colour = figures.colours(list(dict.fromkeys([*view.policies, *names])))
    return [figures.learning(panel, colour) for panel in found]


def _spent(stages: list[StageView]) -> str:
    """What the whole run took, in one line."""
    done = [stage for stage in stages if stage.done]
    if not done:
        return ""
    seconds = sum(stage.seconds or 0.0 for stage in done)
    tokens = sum(stage.tokens or 0 for stage in done)
    names = ", ".join(stage_name(stage.name) for stage in done)
    text = f"{names}: {duration(seconds)} in all"
    return f"{text}, {tokens:,} tokens." if tokens else f"{text}."


def _facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A stage's plain figures and words, for one line under its name."""
    facts = []
    for name, value in summary.items():
        if isinstance(value, bool) or value is None or name == "tokens":
            continue
        if isinstance(value, int):
            facts.append((name.replace("_", " "), f"{value:,}"))
        elif isinstance(value, float):
            facts.append((name.replace("_", " "), number(value)))
        elif isinstance(value, str):
            facts.append((name.replace("_", " "), value))
    return facts
