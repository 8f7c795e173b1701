"""When the gates are asked, of what, and what follows from what they find."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heed.errors import UserError
from heed.files import write_json
from heed.gates.finding import Finding
from heed.gates.levels import (
    FIRST,
    disagreement,
    entropy_collapse,
    kl_budget,
    length_explosion,
    outliers,
    repetition,
    rollout_gap,
)
from heed.gates.overoptimisation import looks_of, overoptimisation
from heed.policies.elsewhere import GAP
from heed.recipe import (
    Collect,
    GateSettings,
    JudgeReward,
    OnPolicy,
    Records,
    RewardModelling,
    Stage,
)
from heed.run import GATES, StageRun
from heed.stages.admission import (
    agreeing,
    clicked_at_random,
    for_length,
    held_apart,
    one_sided,
    reward_sign,
)
from heed.stages.decoy_checks import bought, judge_fooled
from heed.stages.import_checks import contradicting
from heed.stages.rollout_checks import own_draws, same_logprobs
from heed.stages.step_checks import pulls_back, raises_better
from heed.stages.watching import DISAGREEMENT, FALL, HELDOUT, REPEATED, STANDOUT
from heed.stages.workplace import Workplace
from heed.trainer import Metrics, Monitor

ASKED = "asked.json"
"""What was asked of a finished stage, also by gates that had nothing to say."""
Rows = Sequence[Mapping[str, float | None]]
"""What every iteration so far has logged."""
AT_REST = "at_rest"
"""The metric that says which iteration it is if no gate that stops is astir: the latest such policy
is kept. It is marked, and saved, in every one of the first rounds, in which a fast collapse happens
before any gate may trip, and then at checkpoints or more often.
"""
REST_EVERY = 5
"""Iterations between two marks of rest at most."""


@dataclass(frozen=True)
class After:
    """A question about what stages of some kinds leave."""

    of: tuple[type[Stage], ...]
    ask: Callable[[Workplace, Any, Any], Finding | None]
    """From the workplace, the stage's settings and the gate's."""


@dataclass(frozen=True)
class Before:
    """A question about the start of a training, put to the method that is about to train."""

    of: tuple[type[Stage], ...]
    ask: Callable[[Workplace, Any, Any, Any], Finding | None]
    """From the workplace, the stage's settings, the method and the gate's settings; it leaves the
    method as it was."""


During = Callable[[Rows, Any, int], Finding | None]
"""A question about every iteration of a policy gradient: from what was logged so far, the gate's
settings and how many iterations there will be."""


def _level(look: Callable[..., Finding | None], metric: str) -> During:
    """A look at one metric's series; what the gate's settings say beside the action are its own."""
    return lambda rows, gate, iterations: look(
        column(rows, metric), iterations=iterations, **_asked(gate)
    )


def _overoptimised(rows: Rows, gate: Any, iterations: int) -> Finding | None:
    looks = [row for row in rows if FALL in row]
    if not looks:
        return None
    heldout = column(looks, HELDOUT)
    return overoptimisation(
        column(looks, FALL)[-1],
        heldout=heldout[-1],
        best=max(heldout),
        looks=len(looks_of(iterations, gate.every)),
        false_alarms=gate.false_alarms,
    )


AFTER: Mapping[str, After] = {
    "leakage": After((Records,), held_apart),
    "sides": After((Collect,), one_sided),
    "lengths": After((Collect,), for_length),
    "agreement": After((Collect,), agreeing),
    "spammers": After((Collect,), clicked_at_random),
    "swapped": After((Records, Collect, RewardModelling), contradicting),
    "fooled": After((Collect, JudgeReward), judge_fooled),
    "sign": After((RewardModelling,), reward_sign),
    "exploits": After((RewardModelling,), bought),
}
BEFORE: Mapping[str, Before] = {
    "logprobs": Before((OnPolicy,), same_logprobs),
    "draws": Before((OnPolicy,), own_draws),
    "step": Before((OnPolicy,), raises_better),
    "leash": Before((OnPolicy,), pulls_back),
}
DURING: Mapping[str, During] = {
    "kl": _level(kl_budget, "kl"),
    "entropy": _level(entropy_collapse, "entropy"),
    "repetition": _level(repetition, REPEATED),
    "length": _level(length_explosion, "length"),
    "disagreement": _level(disagreement, DISAGREEMENT),
    "outliers": _level(outliers, STANDOUT),
    "rollout_gap": _level(rollout_gap, GAP),
    "overoptimisation": _overoptimised,
}


def admit(work: Workplace, stage: Stage) -> None:
    """Let a stage start, unless a gate refused what it reads from.

    Raises:
      UserError: it did; it names itself, its figures and how to go on all the same.
    """
    gates = dict(work.recipe.gates.asked())
    for name in work.recipe.reads(stage):
        for row in work.run.stage(name).noted(GATES):
            gate = gates.get(row["gate"])
            if row["tripped"] and gate is not None and gate.action == "refuse":
                raise _refused(stage.name, f"it reads from {name!r}, where", row)


def ask_after(work: Workplace, place: StageRun) -> None:
    """Ask of what a stage left; what is found stands in its folder before it is finished."""
    if not place.writes:
        return
    place.forget(GATES, lambda row: row["step"] is None)
    asked = {}
    for name, gate, after in _of(AFTER, work, place.stage):
        found = after.ask(work, place.stage, gate)
        if found is not None:
            _note(work, place, None, gate, found)
        asked[name] = _asked(gate)
    if asked:
        write_json(place.directory / ASKED, asked)


def ask_again(work: Workplace, place: StageRun) -> None:
    """Ask of a finished stage what was asked under other settings, or not at all."""
    path = place.directory / ASKED
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if any(known.get(name) != _asked(gate) for name, gate, _ in _of(AFTER, work, place.stage)):
        ask_after(work, place)


def ask_before(work: Workplace, place: StageRun, method: object) -> None:
    """Ask of a method that is about to train; what was asked before a kill is not asked again.

    Raises:
      UserError: a gate tripped whose action is to refuse.
    """
    if any((place.directory / "checkpoints").glob("last-*")):
        return
    place.forget(GATES, lambda row: row["step"] == 0)
    for _, gate, before in _of(BEFORE, work, place.stage):
        found = before.ask(work, place.stage, method, gate)
        if found is None:
            continue
        row = _note(work, place, 0, gate, found)
        if found.tripped and gate.action == "refuse":
            raise _refused(place.name, "at its start", row)


class Keeper:
    """A trainer's callback that asks every gate of a policy gradient after every iteration.

    A gate's finding is noted when it trips, and at the end of the training where it never did.
    """

    def __init__(self, work: Workplace, place: StageRun, iterations: int, every: int) -> None:
        self.work = work
        self.place = place
        self.iterations = iterations
        self.every = min(every, REST_EVERY)
        self.gates = [(name, gate) for name, gate in work.recipe.gates.asked() if name in DURING]
        self.rows: list[Mapping[str, float | None]] | None = None
        self.tripped: set[str] = set()

    def __call__(self, step: int, metrics: Metrics) -> str | None:
        if self.rows is None:  # the first iteration of this process, which may have been resumed
            self.rows = [row for row in self.place.logged() if row["step"] < step]
            noted = [row for row in self.place.noted(GATES) if 0 < (row["step"] or 0) < step]
            self.tripped = {row["gate"] for row in noted if row["tripped"]}
        self.rows.append(dict(metrics))
        findings = [
            (gate, found)
            for name, gate in self.gates
            if (found := DURING[name](self.rows, gate, self.iterations)) is not None
        ]
        reason = next((found for gate, found in findings if gate.stops and found.tripped), None)
        self._note(step, findings, last=reason is not None or step == self.iterations)
        astir = any(gate.stops and found.statistic > 0 for gate, found in findings)
        due = step <= FIRST or step % self.every == 0
        if due and not astir and self.monitor == Monitor(AT_REST):
            metrics[AT_REST] = float(step)
        return f"the gate {reason.gate!r} tripped. {reason.says}" if reason else None

    @property
    def monitor(self) -> Monitor | None:
        """What says which policy is the best, where a gate may end the training."""
        stops = [name for name, gate in self.gates if gate.stops]
        if "overoptimisation" in stops:
            return Monitor(HELDOUT)
        return Monitor(AT_REST) if stops else None

    def _note(
        self, step: int, findings: Sequence[tuple[GateSettings, Finding]], *, last: bool
    ) -> None:
        for gate, found in findings:
            told = math.isfinite(found.threshold)  # else it has seen too little to trip
            if found.gate not in self.tripped and told and (found.tripped or last):
                _note(self.work, self.place, step, gate, found)
                if found.tripped:
                    self.tripped.add(found.gate)


def column(rows: Rows, name: str) -> list[float]:
    """A metric's series; nan where it was not logged or no number."""
    found = [row.get(name) for row in rows]
    return [math.nan if x is None or not math.isfinite(x) else x for x in found]


def _of(asks: Mapping[str, Any], work: Workplace, stage: Stage) -> Iterator[Any]:
    """(name, settings, question) of the gates that have one to ask of a stage."""
    for name, gate in work.recipe.gates.asked():
        if name in asks and isinstance(stage, asks[name].of):
            yield name, gate, asks[name]


def _note(
    work: Workplace, place: StageRun, step: int | None, gate: GateSettings, found: Finding
) -> dict[str, Any]:
    """Write down what a gate found; say so where it tripped."""
    row: dict[str, Any] = {"step": step, **found.to_json(), "asked": _asked(gate)}
    for name in ("statistic", "threshold"):
        row[name] = row[name] if math.isfinite(row[name]) else None
    place.note(GATES, [row])
    if found.tripped and place.writes:
        at = f" at iteration {step}" if step else ""
        work.say(f"{place.name:<10} gate {found.gate} ({gate.action}){at}: {found.says}")
    return row


def _asked(gate: GateSettings) -> dict[str, Any]:
    """What a finding depends on: a gate's settings, less what follows from it."""
    return gate.model_dump(exclude={"action"})


def _refused(stage: str, where: str, row: Mapping[str, Any]) -> UserError:
    figures = [
        f"{key} {row[key]:.3g}" for key in ("statistic", "threshold") if row[key] is not None
    ]
    return UserError(
        f"{stage!r} does not start: {where} the gate {row['gate']!r} tripped ("
        f"{', '.join(figures)}; where nothing is wrong it does so in {row['false_alarms']:.1%} of "
        f"runs). {row['says']} Mend it, or go on all the same with "
        f"--set gates.{row['gate']}.action=warn; what is finished is kept."
    )
