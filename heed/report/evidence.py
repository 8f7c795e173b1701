"""What a run shows, as the answers and the advice need it: never stronger than its intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from heed.report.estimates import Table, surely, tables
from heed.report.measures import QUALITY, label_of, measure_of
from heed.report.part import Part
from heed.report.read import Gap, RunView, StageView
from heed.report.verdict import TO_BEAT, main_measure
from heed.stats.from_intervals import difference, of_many
from heed.stats.intervals import Estimate, difference_interval

BLOCKS = 6
"""Pieces that a training is cut into, to see whether gold fell while the proxy rose."""
FEWEST = 4 * BLOCKS
LEASHES = {
    **dict.fromkeys(("ppo", "rloo", "grpo", "reinforce"), "kl.coef"),
    **dict.fromkeys(("dpo", "kto"), "beta"),
}
"""Kind of a stage -> the setting that holds its policy near the reference."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A training in which gold fell while the proxy rose: by how much, and between which steps."""

    stage: StageView
    gold: Estimate
    proxy: Estimate
    start: int
    end: int


def chief(view: RunView) -> list[Gap]:
    """Who is compared with the policy to beat, by the main measure: SFT, or the first there is."""
    measure = main_measure(view.gaps)
    gaps = [gap for gap in view.gaps if gap.measure == measure]
    to_beat = [gap for gap in gaps if label_of(gap.worse) == TO_BEAT]
    return to_beat or [gap for gap in gaps if gap.worse == gaps[0].worse]


def made_by(view: RunView, policy: str) -> StageView | None:
    """The stage that made a policy, by the evaluations' labels."""
    label = label_of(policy)
    labels = [
        each.settings.get("policies") or {} for each in view.stages if each.kind == "evaluate"
    ]
    name = next((table[label] for table in labels if label in table), label)
    return next((stage for stage in view.stages if stage.name == name), None)


def setting(stage: StageView, path: str) -> str:
    """A setting of a stage as `--set` takes it, and what it is now."""
    value: Any = stage.settings
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return f"{stage.name}.{path}" + (f" (now {value})" if value is not None else "")


def leash(view: RunView, policy: str) -> str | None:
    """The setting that holds a policy near its reference; None where there is none."""
    stage = made_by(view, policy)
    return setting(stage, LEASHES[stage.kind]) if stage and stage.kind in LEASHES else None


def by_family(view: RunView) -> dict[str, dict[str, Estimate]]:
    """Policy -> family -> how far it lies above the policy to beat there, more being better, wide
    enough for all families and policies at once.
    """
    gaps, measure = chief(view), main_measure(view.gaps)
    if measure is None or measure not in QUALITY:
        return {}
    sign = measure_of(measure).better
    found: dict[str, dict[str, Estimate]] = {}
    for gap in gaps:
        before, after = (view.families.get(name, {}) for name in (gap.worse, gap.better))
        for family in after:
            if measure in after[family] and measure in before.get(family, {}):
                apart = difference(after[family][measure], before[family][measure])
                if sign < 0:
                    apart = Estimate(-apart.mean, -apart.high, -apart.low, apart.n)
                found.setdefault(gap.better, {})[family] = apart
    looks = sum(map(len, found.values()))
    return {
        name: {family: of_many(apart, looks) for family, apart in table.items()}
        for name, table in found.items()
    }


def changes(view: RunView, parts: Sequence[Part]) -> Table:
    """Policy -> measure of cost -> its change from the policy to beat: paired by prompt where the
    evaluation left that, else by the intervals of both.
    """
    part = part_of(parts, "costs")
    paired = tables(part.json.get("changes")) if part else {}
    found: Table = {}
    for gap in chief(view):
        before, after = (view.policies.get(name, {}) for name in (gap.worse, gap.better))
        apart = {key: difference(after[key], before[key]) for key in after if key in before}
        found[gap.better] = {**apart, **paired.get(gap.better, {})}
    return found


def before(view: RunView, parts: Sequence[Part]) -> dict[str, Estimate]:
    """The costs of the policy to beat."""
    part = part_of(parts, "costs")
    paid = tables(part.json.get("policies")) if part else {}
    name = next((gap.worse for gap in chief(view)), "")
    return {**view.policies.get(name, {}), **paid.get(name, {})}


def part_of(parts: Sequence[Part], name: str) -> Part | None:
    """The part of that name, where the page has it."""
    return next((part for part in parts if part.name == name), None)


def tripped(parts: Sequence[Part]) -> list[Mapping[str, Any]]:
    """The gates that tripped: stage, gate and what they say, once a gate and stage."""
    part = part_of(parts, "gates")
    rows = [row for row in part.json if row.get("tripped")] if part else []
    return list({(row["stage"], row["gate"]): row for row in rows}.values())


def turns(view: RunView) -> Iterator[Turn]:
    """The trainings in which gold surely fell while the proxy surely rose."""
    return (turn for stage in view.stages if (turn := _turn(stage)))


def curves(view: RunView) -> list[StageView]:
    """The trainings that are long enough to tell whether the two parted."""
    return [stage for stage in view.stages if len(_logged(stage)) >= FEWEST]


def _turn(stage: StageView) -> Turn | None:
    """The last piece of a training against every one before it (Welch, Bonferroni): that in which
    gold fell most, of those between which the proxy rose.
    """
    rows = _logged(stage)
    if len(rows) < FEWEST:
        return None
    *earlier, last = np.array_split(np.array(rows), BLOCKS)
    level = 1 - 0.05 / len(earlier)
    found = []
    for block in earlier:
        proxy, gold = (difference_interval(last[:, at], block[:, at], level=level) for at in (1, 2))
        if surely(gold) < 0 < surely(proxy):
            found.append(Turn(stage, gold, proxy, int(block[0, 0]), int(last[-1, 0])))
    return min(found, key=lambda turn: turn.gold.mean, default=None)


def _logged(stage: StageView) -> list[list[float]]:
    wanted = ("step", "proxy", "gold")
    return [
        [float(row[name]) for name in wanted]
        for row in stage.rows
        if all(isinstance(x := row.get(name), int | float) and math.isfinite(x) for name in wanted)
    ]
