"""The league becomes one self-contained page, and its figures as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from heed.files import write_json, write_text
from heed.recipe import Recipe
from heed.report import league_figures
from heed.report.league import League, Standing, read_league
from heed.report.measures import COST, QUALITY, in_order, measure_of, policy_name, with_interval
from heed.report.paper import fill
from heed.report.verdict import BETTER, WORSE

_FIRST = ("proxy", "kl", "length", "distinct", "distinct_2")
"""Measures with a column of their own, beside the one that ranks."""


def write_league(directory: Path, of: Recipe | None = None) -> Path:
    """Write league.json and league.html beside the runs of several seeds.

    Args:
        directory: what holds the runs.
        of: the recipe that they are of; that of the run begun last by default.

    Returns:
        the path of league.html.

    Raises:
        UserError: there are no such runs, or none is evaluated.
    """
    league = read_league(directory, of)
    write_json(directory / "league.json", as_json(league))
    path = directory / "league.html"
    write_text(path, render(league))
    return path


def as_json(league: League) -> dict[str, Any]:
    """What league.json holds: the standings, the best first, and the baseline's figures."""
    return {
        "name": league.name,
        "headline": headline(league),
        "seeds": league.seeds,
        "measure": league.measure,
        "baseline": {
            "policy": league.baseline,
            "figures": {key: found.to_json() for key, found in league.baseline_figures.items()},
        },
        "standings": [_row(standing) for standing in league.standings],
        "before": [_row(standing) for standing in league.before],
        "notes": league.notes,
    }


def render(league: League) -> str:
    """The page as HTML."""
    rows = {each.policy: each for each in league.standings}
    paid = {
        name: (each.figures["kl"], each.above[league.measure])
        for name, each in rows.items()
        if "kl" in each.figures and each.verdict != WORSE  # far below, they would fill the figure
    }
    found = [key for each in league.standings for key in each.figures]
    several = len(league.seeds) > 1
    return fill(
        "league.html",
        league=league,
        headline=headline(league),
        what=measure_of(league.measure),
        columns={key: measure_of(key) for key in _FIRST if key in found and key != league.measure},
        others={
            key: measure_of(key)
            for key in in_order(found, [*QUALITY, *COST])
            if key not in _FIRST and key != league.measure
        },
        drawn=league_figures.league(
            {name: (each.above[league.measure], each.by_seed) for name, each in rows.items()},
            league.measure,
            league.baseline,
        ),
        paid=league_figures.price(paid, league.measure, league.baseline) if paid else None,
        short=[each for each in league.standings if each.verdict != BETTER] if several else [],
    )


def headline(league: League) -> str:
    """One sentence: how many beat the baseline, and who leads."""
    what, baseline = measure_of(league.measure), policy_name(league.baseline)
    trained = [each for each in league.standings if each.trained]
    still = [each for each in league.standings if not each.trained]
    counts = [f"{_beat(trained)} trained policies"] if trained else []
    counts += [f"{_beat(still)} without training"] if still else []
    if not counts:
        return "No policy but the baseline was evaluated."
    first = league.standings[0]
    lead = with_interval(first.above[league.measure], what)
    if len(league.seeds) == 1:
        return (
            f"One seed alone says nothing of the next; in it {policy_name(first.policy)} leads, "
            f"{lead} above {baseline} in {what.label.lower()}."
        )
    return (
        f"Over {len(league.seeds)} seeds, {' and '.join(counts)} are better than {baseline} in "
        f"{what.label.lower()} beyond the 95% interval; {policy_name(first.policy)} leads, "
        f"by {lead}."
    )


def _beat(standings: Sequence[Standing]) -> str:
    better = sum(each.verdict == BETTER for each in standings)
    return f"{better} of {len(standings)}"


def _row(standing: Standing) -> dict[str, Any]:
    return {
        "policy": standing.policy,
        "kind": standing.kind,
        "trained": standing.trained,
        "figures": {key: found.to_json() for key, found in standing.figures.items()},
        "above": {key: found.to_json() for key, found in standing.above.items()},
        "by_seed": [value if math.isfinite(value) else None for value in standing.by_seed],
        "seconds": standing.seconds,
        "seconds_with_needs": standing.whole,
        "memory": standing.memory,
        "verdict": standing.verdict,
        "why": standing.why,
    }
