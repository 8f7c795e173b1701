"""What a run shows, as the answers and the advice need it: never stronger than its intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heed.report.estimates import Table, estimate, surely, tables
from heed.report.measures import QUALITY, label_of, measure_of
from heed.report.part import Part
from heed.report.read import Gap, RunView, StageView
from heed.report.verdict import TO_BEAT, main_measure
from heed.stats.from_intervals import difference, of_many, widened
from heed.stats.intervals import Estimate, difference_interval, mean_interval

BLOCKS = 6
"""Pieces that a training is cut into, to see whether gold fell while the proxy rose."""
FEWEST = 4 * BLOCKS
"""Iterations of a training that can be told so."""
FEWEST_PROMPTS = 3
"""That two policies both answered, for a difference that is paired by prompt."""
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


@dataclass(frozen=True, slots=True)
class Blind:
    """Blind pairs with one policy, by a judge that nothing was trained on and nothing fooled."""

    judge: str
    baseline: str
    wins: dict[str, Estimate]
    """Policy -> the share of its pairs that it wins, a tie counting half."""


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
    """Policy -> family -> how far it lies above the policy to beat there, more being better: paired
    by prompt where the evaluation left means by prompt, else by the intervals of both; wide enough
    for all families and policies at once (Bonferroni).
    """
    measure = main_measure(view.gaps)
    if measure is None or measure not in QUALITY:
        return {}
    shared = {
        gap: [
            family
            for family, row in view.families.get(gap.better, {}).items()
            if measure in row and measure in view.families.get(gap.worse, {}).get(family, {})
        ]
        for gap in chief(view)
    }
    looks = sum(map(len, shared.values()))
    sign = measure_of(measure).better
    return {
        gap.better: {
            family: turned(_in_family(view, gap, family, looks), sign) for family in families
        }
        for gap, families in shared.items()
        if families
    }


def turned(found: Estimate, sign: int) -> Estimate:
    """An estimate as it is, or its negative where `sign` is below 0."""
    if sign >= 0:
        return found
    return Estimate(-found.mean, -found.high, -found.low, found.n)


def _in_family(view: RunView, gap: Gap, family: str, looks: int) -> Estimate:
    ours, theirs = (
        view.means.get(name, {}).get(gap.measure, {}) for name in (gap.better, gap.worse)
    )
    paired = [
        ours[at] - theirs[at]
        for at in ours
        if at in theirs and view.prompt_families.get(at) == family
    ]
    if len(paired) >= FEWEST_PROMPTS:
        return mean_interval(paired, level=1 - 0.05 / looks)
    tables = view.families[gap.better][family], view.families[gap.worse][family]
    return of_many(difference(tables[0][gap.measure], tables[1][gap.measure]), looks)


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


def blind(view: RunView, parts: Sequence[Part]) -> Blind | None:
    """What the first such judge says; None where no comparison had one."""
    part = part_of(parts, "compare")
    learned_from = {str(stage.settings.get("reward")) for stage in view.stages}
    for found in part.json if part else ():
        for judge, each in found["judges"].items():
            wins = {
                name: of_percent(known)
                for name, beside in each["against_baseline"].items()
                if (known := estimate(beside.get("win_rate"))) is not None
            }
            if wins and judge not in learned_from and not each["fooled_by"]:
                return Blind(judge, found["baseline"], wins)
    return None


def of_percent(found: Estimate) -> Estimate:
    """As a share."""
    return Estimate(found.mean / 100, found.low / 100, found.high / 100, found.n)


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
    """The last piece of a training against every one before it (Welch, Bonferroni, neighbouring
    rounds being alike): that from which gold fell most, of those from which the proxy rose.
    """
    rows = _logged(stage)
    if len(rows) < FEWEST:
        return None
    blocks = np.array_split(np.array(rows), BLOCKS)
    *earlier, last = blocks
    level = 1 - 0.05 / len(earlier)
    alike = [_alike([block[:, at] for block in blocks]) for at in (1, 2)]
    found = []
    for block in earlier:
        proxy, gold = (
            widened(difference_interval(last[:, at], block[:, at], level=level), times)
            for at, times in zip((1, 2), alike, strict=True)
        )
        if surely(gold) < 0 < surely(proxy):
            found.append(Turn(stage, gold, proxy, int(block[0, 0]), int(last[-1, 0])))
    return min(found, key=lambda turn: turn.gold.mean, default=None)


def _alike(blocks: Sequence[NDArray[np.float64]]) -> float:
    """How many times wider an interval is where neighbouring rounds are alike: sqrt((1 + r) / (1 -
    r)) with r their correlation within the blocks, freed of most of its bias, (1 + 4 r) / length
    (Marriott & Pope 1954); a trend within a block counts as likeness, too.
    """
    apart = [block - block.mean() for block in blocks]
    spread = sum(float(each @ each) for each in apart)
    if spread == 0:
        return 1.0
    r = sum(float(each[1:] @ each[:-1]) for each in apart) / spread
    r = min(max(r + (1 + 4 * r) / min(map(len, blocks)), 0.0), 0.9)
    return math.sqrt((1 + r) / (1 - r))


def _logged(stage: StageView) -> list[list[float]]:
    wanted = ("step", "proxy", "gold")
    return [
        [float(row[name]) for name in wanted]
        for row in stage.rows
        if all(isinstance(x := row.get(name), int | float) and math.isfinite(x) for name in wanted)
    ]
