"""A plan corrected by an earlier run: what that run spent, against what its own plan had said.

Whatever a plan gets wrong of lengths and speed it gets wrong of a run like it, too; so each figure
of a stage is multiplied by spent / planned of the earlier run's stage of that name and kind, or of
its kind. Bytes are shifted by the difference, since a good part of them does not grow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import fsum

from heed.planning.passes import How
from heed.planning.plan import Plan, StagePlan
from heed.planning.spent import Spent

SPREAD = (0.8, 1.25)
"""How much a clock differs from run to run on one machine, other work on it aside."""


def corrected(plan: Plan, before: Plan, spent: Mapping[str, Spent]) -> Plan:
    """`plan` in the light of a run that `before` had planned and that spent so much."""
    planned = {each.name: each for each in before.stages}
    pace = _pace(planned, spent)
    stages = tuple(_corrected(each, planned, spent, pace) for each in plan.stages)
    return replace(plan, stages=stages)


def _corrected(
    stage: StagePlan,
    planned: Mapping[str, StagePlan],
    spent: Mapping[str, Spent],
    pace: float | None,
) -> StagePlan:
    like = _like(stage, planned, spent)
    if like is None:
        done = stage.operations
        known = None if pace is None else _spread(done * pace)
        return replace(stage, seconds=known if done else stage.seconds)
    old, real = planned[like], spent[like]
    grows = stage.operations / old.operations if old.operations else 1.0
    flops = _ratio(real.flops, old.operations)
    return replace(
        stage,
        trained=stage.trained * _tokens(real, old.trained, "trained"),
        forwarded=stage.forwarded * _tokens(real, old.forwarded, "forwarded"),
        sampled=stage.sampled * _tokens(real, old.sampled, "sampled"),
        flops={how: amount * flops for how, amount in stage.flops.items()},
        held=stage.held if real.memory is None else real.memory + stage.held - old.held,
        seconds=_spread(real.seconds * grows),
    )


def _like(
    stage: StagePlan, planned: Mapping[str, StagePlan], spent: Mapping[str, Spent]
) -> str | None:
    """The earlier run's stage of that name and kind, or the first of its kind."""
    both = [name for name in planned if name in spent and planned[name].kind == stage.kind]
    return stage.name if stage.name in both else next(iter(both), None)


def _tokens(real: Spent, planned: float, how: How) -> float:
    return _ratio(real.tokens.get(how), planned)


def _ratio(real: float | None, planned: float) -> float:
    """1 where one of both is not known."""
    return real / planned if real is not None and planned else 1.0


def _pace(planned: Mapping[str, StagePlan], spent: Mapping[str, Spent]) -> float | None:
    """Seconds an operation, over all stages that do any."""
    both = [(planned[name].operations, spent[name].seconds) for name in planned if name in spent]
    done = fsum(flops for flops, _ in both)
    return fsum(seconds for flops, seconds in both if flops) / done if done else None


def _spread(seconds: float) -> tuple[float, float]:
    return seconds * SPREAD[0], seconds * SPREAD[1]
