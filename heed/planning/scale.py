"""A plan for stated hardware: what a rank of every stage holds, how many devices that takes at
least, and how long it goes on.

Devices either train or draw. Those that train share every step's rows, and hold their models whole
or in shards (`ranks`): the first way that fits. Those that draw are servers, each of the fewest
devices that hold the policy and its cache; policy gradients alone ask them, and wait for them
unless they draw `ahead`. Without servers every rank draws its share, with a whole policy. A stage
that does not train is one process on one device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import fsum
from typing import Any

from heed.planning.durations import Work
from heed.planning.fitting import Change, fitting, shortest
from heed.planning.ground import Ground
from heed.planning.hardware import Hardware
from heed.planning.layout import Layout, layouts, least, smallest
from heed.planning.memory import HOLDS, Holds
from heed.planning.passes import HOWS, How
from heed.planning.plan import Machine, Plan, StagePlan, make_plan
from heed.planning.ranks import RankMemory, Way
from heed.planning.roofline import Bound
from heed.planning.sizes import Size
from heed.recipe import OnPolicy, Pretrain, Stage


@dataclass(frozen=True, slots=True)
class ScaledStage:
    """One stage on the hardware. `least`: the fewest devices that hold it, None where none do.
    `bounds`: seconds of learning, of reading and of drawing, and what each is bound by.
    """

    plan: StagePlan
    memory: RankMemory
    way: Way
    fits: bool
    least: int | None
    bounds: Mapping[How, Bound]
    seconds: float

    def rate(self, how: How) -> float:
        """Tokens a second of all devices together, 0 where there are none."""
        tokens = self.plan.counts.tokens(how)
        return tokens / self.bounds[how].seconds if tokens else 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.plan.name,
            "kind": self.plan.kind,
            "memory": self.memory.to_json(),
            "held": round(self.memory.total),
            "shard": self.way.shard,
            "recompute": self.way.recompute,
            "fits": self.fits,
            "least": self.least,
            "seconds": self.seconds,
            "bounds": {how: [each.seconds, each.by] for how, each in self.bounds.items()},
            "rates": {how: self.rate(how) for how in HOWS},
            "flops": self.plan.operations,
            "labels": round(self.plan.counts.labels),
            "label_money": self.plan.labels and self.plan.labels.money,
        }


@dataclass(frozen=True)
class ScaledPlan:
    """All stages of one run on the hardware."""

    plan: Plan
    hardware: Hardware
    layout: Layout
    stages: tuple[ScaledStage, ...]
    assumptions: tuple[str, ...] = field(default=())

    @property
    def hours(self) -> float:
        """Of all stages and seeds, one after another."""
        return self.plan.seeds * fsum(each.seconds for each in self.stages) / 3600

    @property
    def device_hours(self) -> float:
        return self.hours * self.layout.count

    @property
    def money(self) -> float:
        """All devices for all hours; what labels cost is apart."""
        return self.device_hours * self.hardware.price

    def to_json(self) -> dict[str, Any]:
        totals = {name: self.plan.total(name) for name in ("labels", "minutes", "flops")}
        return {
            "recipe": self.plan.recipe,
            "seeds": self.plan.seeds,
            "hardware": self.hardware.name,
            "devices": self.layout.count,
            "usable": round(self.hardware.usable),
            "trains": self.layout.trains,
            "draws": self.layout.draws,
            "server": self.layout.server,
            "stages": [each.to_json() for each in self.stages],
            "totals": {
                **totals, "label_money": self.plan.total("money"), "hours": self.hours,
                "device_hours": self.device_hours, "money": self.money,
            },
            "currency": self.hardware.currency,
            "assumptions": list(self.assumptions),
        }  # fmt: skip


def shaped(ground: Ground, name: str, size: Size) -> Ground:
    """The ground of a recipe whose model is another one, which is given and not pretrained. Texts
    stay in the tokens of the recipe's own.
    """
    begun = {stage.name: size for stage in ground.recipe.stages if isinstance(stage, Pretrain)}
    given = ground.recipe.model_copy(update={"model": name})
    return replace(ground, recipe=given, sizes={**ground.sizes, **begun})


def scale(ground: Ground, hardware: Hardware) -> ScaledPlan:
    """The plan on this hardware: of all ways to share its devices out that under which most stages
    fit, and of those the shortest.
    """
    plan = make_plan(ground, Machine(hardware.name, None, None, width=hardware.kind.width))
    served = [each for each in ground.recipe.stages if isinstance(each, OnPolicy)]
    drawn = [HOLDS[each.kind](ground, each) for each in served]
    made = [_on(ground, plan, hardware, layout) for layout in layouts(drawn, hardware)]
    return min(made, key=lambda each: (sum(not stage.fits for stage in each.stages), each.hours))


def _on(ground: Ground, plan: Plan, hardware: Hardware, layout: Layout) -> ScaledPlan:
    stages = tuple(_stage(ground, each, hardware, layout) for each in plan.stages)
    return ScaledPlan(plan, hardware, layout, stages, _assumptions(plan, hardware))


def _stage(ground: Ground, plan: StagePlan, hardware: Hardware, layout: Layout) -> ScaledStage:
    stage = ground.recipe.stage(plan.name)
    holds = HOLDS[plan.kind](ground, stage)
    held, way = _held(stage, holds, hardware, layout)
    work = Work(ground, stage, plan.counts, holds, hardware, layout, way)
    learns, reads, draws = work.learning(), work.reading(), work.drawing()
    served = layout.draws and isinstance(stage, OnPolicy)
    beside = served and getattr(stage, "ahead", None) is not None
    own = learns.seconds + reads.seconds
    return ScaledStage(
        plan=plan,
        memory=held,
        way=way,
        fits=held.total <= hardware.usable,
        least=least(stage, holds, hardware),
        bounds={"trained": learns, "forwarded": reads, "sampled": draws},
        seconds=max(own, draws.seconds) if beside else own + draws.seconds,
    )


def _held(stage: Stage, holds: Holds, hardware: Hardware, layout: Layout) -> tuple[RankMemory, Way]:
    """What one of the processes of a stage holds, and how."""
    here = not layout.draws or not isinstance(stage, OnPolicy)
    ranks = layout.trains if stage.trains else 1
    return smallest(stage, holds, ranks, hardware, drawn_here=here)


def remedies(ground: Ground, made: ScaledPlan, planned: ScaledStage) -> list[str]:
    """Settings with which a stage would fit on the hardware as it is shared out, from what costs
    nothing on; empty where none does. To shard and to compute layers anew has been tried.
    """
    stage = ground.recipe.stage(planned.plan.name)

    def fits(change: Change) -> bool:
        holds = HOLDS[planned.plan.kind](ground, change.stage)
        held, _ = _held(change.stage, holds, made.hardware, made.layout)
        return held.total <= made.hardware.usable

    return shortest(fitting(stage, fits, half=False))


def _assumptions(plan: Plan, hardware: Hardware) -> tuple[str, ...]:
    kind, shares = hardware.kind, hardware.kind.shares
    return (
        *plan.assumptions,
        f"Training reaches {shares.training:.0%} and reading {shares.prefill:.0%} of "
        f"{kind.flops / 1e12:,.4g} TFLOP/s a device, drawing {shares.decode:.0%} of its roofline "
        f"at {kind.bandwidth / 1e12:,.3g} TB/s, collectives {shares.link:.0%} of "
        f"{kind.link / 1e9:,.4g} GB/s in a node and of {kind.network / 1e9:,.4g} GB/s a device "
        "between nodes: say yours in a page (--on FILE).",
    )
