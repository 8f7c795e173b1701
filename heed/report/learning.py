"""What rewards that can be checked teach: the share that passes, against the samples drawn.

A panel a reward and the prompts that were asked; beside the stages that were rewarded by it stand
those that asked the same prompts for another reward.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from heed.report.measures import SHARE, policy_name, stage_name, with_interval
from heed.report.read import RunView, StageView
from heed.stats.intervals import Estimate

CHECKS = ("exact", "maths", "regex", "format", "correct", "metre")
"""Kinds of rewards that lie between 0 and 1 and are no model's opinion."""


@dataclass(frozen=True, slots=True)
class Line:
    """One stage: what passed on training prompts while it learned, on held-out ones after."""

    reward: str
    drawn: list[float]
    """Samples so far."""
    passed: list[float]
    right: list[float]
    """Right answers, where that is something else than to pass; else empty."""
    heldout: Estimate | None


@dataclass(frozen=True, slots=True)
class Panel:
    """One check on the prompts of some families (all where there are none)."""

    check: str
    kind: str
    families: tuple[str, ...]
    lines: dict[str, Line]
    """By the policy's label, or the stage's name where it was not evaluated."""
    starts: dict[str, Estimate]
    """Held-out figures of the policies that they began with, by label."""

    @property
    def title(self) -> str:
        """What is checked, of which prompts."""
        what = "Right answers" if self.kind == "correct" else stage_name(self.check).capitalize()
        asked = ", ".join(self.families).replace("_", " ") or "all prompts"
        return f"{what}: {asked}"


def panels(view: RunView) -> list[Panel]:
    """The checks of a run that a policy learned from, in the order of the stages."""
    checks = {stage.name: stage for stage in view.stages if stage.kind in CHECKS}
    learners = [stage for stage in view.stages if _samples_a_step(stage) and len(stage.rows) > 1]
    found: dict[tuple[str, tuple[str, ...]], Panel] = {}
    for stage in learners:
        check, asked = checks.get(stage.settings.get("reward", "")), _families(stage)
        if check and (check.name, asked) not in found:
            beside = [other for other in learners if _families(other) == asked]
            found[check.name, asked] = _panel(view, check, asked, beside)
    return [panel for panel in found.values() if panel.lines]


def sentences(panel: Panel) -> list[str]:
    """What came of every policy, on prompts that it was never asked."""
    start = "".join(
        f", {policy_name(name)} {with_interval(found, SHARE)}"
        for name, found in panel.starts.items()
    ).removeprefix(", ")
    return [
        f"{panel.title}, held out: {start} before; {policy_name(name)} "
        f"{with_interval(line.heldout, SHARE)} after {line.drawn[-1]:,.0f} samples rewarded by "
        f"{stage_name(line.reward).lower()}."
        for name, line in panel.lines.items()
        if line.heldout and start
    ]


def _panel(
    view: RunView, check: StageView, asked: tuple[str, ...], stages: Sequence[StageView]
) -> Panel:
    exact = check.kind == "correct"
    measure = "correct" if exact else _measure(view, check.name)
    lines, starts = {}, {}
    for stage in stages:
        own = stage.settings.get("reward") == check.name
        metric = "correct" if exact else "proxy"
        steps, passed = stage.series(metric)
        if len(steps) < 2 or not (own or exact):
            continue
        label = _label(view, stage.name)
        lines[label or stage.name] = Line(
            reward=str(stage.settings.get("reward")),
            drawn=[step * _samples_a_step(stage) for step in steps],
            passed=passed,
            right=_right(stage, steps) if not exact else [],
            heldout=_heldout(view, label, asked, measure),
        )
        before = _label(view, str(stage.settings.get("policy")))
        if before and (estimate := _heldout(view, before, asked, measure)):
            starts[before] = estimate
    return Panel(check.name, check.kind, asked, lines, starts)


def _right(stage: StageView, steps: list[float]) -> list[float]:
    """The share of right answers at these steps; none where it was not logged at all of them."""
    found, right = stage.series("correct")
    return right if found == steps else []


def _samples_a_step(stage: StageView) -> int:
    """Completions that a step draws, 0 of a stage that does not learn from its own."""
    settings = stage.settings
    if "candidates" in settings:
        return int(settings["candidates"]) * int(settings["prompts"])
    return int(settings.get("rollouts") or 0)


def _families(stage: StageView) -> tuple[str, ...]:
    return tuple(sorted(stage.settings.get("families") or ()))


def _evaluated(view: RunView, key: str) -> Mapping[str, str]:
    """Label -> stage, of all that evaluations name under a key."""
    tables = [each.settings.get(key) or {} for each in view.stages if each.kind == "evaluate"]
    return {label: stage for table in tables for label, stage in table.items()}


def _label(view: RunView, stage: str) -> str | None:
    """What evaluations call a stage's policy."""
    return next((name for name, of in _evaluated(view, "policies").items() if of == stage), None)


def _measure(view: RunView, check: str) -> str | None:
    """What evaluations call a check."""
    return next((name for name, of in _evaluated(view, "also").items() if of == check), None)


def _heldout(
    view: RunView, label: str | None, families: tuple[str, ...], measure: str | None
) -> Estimate | None:
    """A policy's figure on held-out prompts of one family or of all; none of several."""
    if label is None or measure is None or len(families) > 1:
        return None
    if not families:
        return view.policies.get(label, {}).get(measure)
    return view.families.get(label, {}).get(families[0], {}).get(measure)
