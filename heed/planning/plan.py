"""A plan: what every stage of a recipe will do, hold and take, and all of it together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum
from typing import Any

from heed.planning.counts import COUNTS
from heed.planning.ground import Ground
from heed.planning.memory import HOLDS, Memory, peak
from heed.planning.money import Labels, labels
from heed.planning.passes import HOWS, Counts, How, operations
from heed.recipe import Collect, Compare, People, Stage

HALF = 2
"""Bytes of an activation in bfloat16."""
SHARES: Mapping[How, tuple[float, float]] = {
    "trained": (0.2, 0.9),
    "forwarded": (0.2, 0.9),
    "sampled": (0.02, 0.3),
}
"""How much of the speed of large matrix products such passes reach, from slow to fast: a guess, as
wide as models from a million to some billion weights are apart. Drawing a token at a time is bound
by memory and by the steps around it."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the recipe will run: bytes that are free, and operations a second of matrix products;
    None where they are not known. `width`: bytes of an activation; `process`: bytes held before
    anything is loaded; `half`: whether the device computes in bfloat16 by itself.
    """

    device: str
    free: int | None
    speed: float | None
    width: int = 4
    process: int = 0
    half: bool | None = None


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What one stage will do. `seconds`: the least, the most; None where nothing tells."""

    name: str
    kind: str
    counts: Counts
    trained: float
    forwarded: float
    sampled: float
    flops: Mapping[How, float]
    memory: Memory
    held: float
    """Bytes at its fullest: the memory's total, or what a like stage held."""
    seconds: tuple[float, float] | None
    labels: Labels | None = None

    @property
    def operations(self) -> float:
        return fsum(self.flops.values())

    def to_json(self) -> dict[str, Any]:
        asked = self.labels
        return {
            "name": self.name,
            "kind": self.kind,
            "prompts": round(self.counts.prompts),
            "answers": round(self.counts.answers),
            "labels": round(self.counts.labels),
            "trained": round(self.trained),
            "forwarded": round(self.forwarded),
            "sampled": round(self.sampled),
            "flops": self.operations,
            "memory": round(self.held),
            "memory_parts": self.memory.to_json(),
            "seconds": list(self.seconds) if self.seconds else None,
            "label_seconds": asked and asked.seconds,
            "minutes": asked and asked.minutes,
            "money": asked and asked.money,
            "currency": asked and asked.currency,
        }


@dataclass(frozen=True)
class Plan:
    """All stages of one run, and how many runs the recipe asks for."""

    recipe: str
    seeds: int
    machine: Machine
    stages: tuple[StagePlan, ...]
    assumptions: tuple[str, ...] = field(default=())

    def total(self, name: str) -> float:
        """One figure of all stages and seeds."""
        return self.seeds * fsum(float(each.to_json()[name] or 0) for each in self.stages)

    @property
    def seconds(self) -> tuple[float, float] | None:
        """Of all stages and seeds; None where it is not known of any that does something."""
        known = [each.seconds for each in self.stages]
        if all(each is None for each in known):
            return None
        return (
            self.seeds * fsum(each[0] for each in known if each),
            self.seeds * fsum(each[1] for each in known if each),
        )

    def to_json(self) -> dict[str, Any]:
        names = ("prompts", "answers", "labels", *HOWS, "flops", "minutes", "money")
        totals = {name: self.total(name) for name in names}
        most = max((each.held for each in self.stages), default=0)
        return {
            "recipe": self.recipe,
            "seeds": self.seeds,
            "device": self.machine.device,
            "free": self.machine.free,
            "speed": self.machine.speed,
            "stages": [each.to_json() for each in self.stages],
            "totals": {**totals, "memory": round(most), "seconds": self.seconds},
            "assumptions": list(self.assumptions),
        }


def make_plan(
    ground: Ground, machine: Machine, recorded: Mapping[str, Sequence[float]] | None = None
) -> Plan:
    """The plan of a recipe; `recorded`: seconds that labels took before, by stage."""
    recipe = ground.recipe
    stages = tuple(_stage(ground, stage, machine, recorded or {}) for stage in recipe.stages)
    return Plan(recipe.name, recipe.seeds, machine, stages, _assumptions(ground, machine))


def memory_of(ground: Ground, stage: Stage, machine: Machine) -> Memory:
    """What a stage holds at its fullest."""
    return peak(
        HOLDS[stage.kind](ground, stage),
        width=machine.width,
        process=machine.process,
        anew=getattr(stage, "checkpoint_activations", False),
    )


def _stage(
    ground: Ground, stage: Stage, machine: Machine, recorded: Mapping[str, Sequence[float]]
) -> StagePlan:
    counts = COUNTS[stage.kind](ground, stage)
    flops: dict[How, float] = dict.fromkeys(HOWS, 0.0)
    for each in counts.passes:
        flops[each.how] += operations(each, ground.sizes[each.root])
    memory = memory_of(ground, stage, machine)
    asked = None
    people = asked_by(stage)
    if people is not None:
        asked = labels(
            counts.labels, counts.words, recorded.get(stage.name, ()),
            pay_per_hour=people.pay_per_hour, currency=people.currency,
        )  # fmt: skip
    return StagePlan(
        name=stage.name,
        kind=stage.kind,
        counts=counts,
        trained=counts.tokens("trained"),
        forwarded=counts.tokens("forwarded"),
        sampled=counts.tokens("sampled"),
        flops=flops,
        memory=memory,
        held=memory.total,
        seconds=_guess(flops, machine.speed),
        labels=asked,
    )


def asked_by(stage: Stage) -> People | None:
    """The people that a stage asks, simulated ones among them, whom nobody pays; None for none."""
    if isinstance(stage, Compare):
        return stage.judges.people
    if not isinstance(stage, Collect) or stage.source not in ("people", "simulated"):
        return None
    return stage.people if stage.source == "people" else People()


def _guess(flops: Mapping[How, float], speed: float | None) -> tuple[float, float] | None:
    """Seconds by a share of the machine's speed, at its fastest and slowest."""
    if speed is None:
        return None
    least = fsum(flops[how] / (speed * SHARES[how][1]) for how in HOWS)
    most = fsum(flops[how] / (speed * SHARES[how][0]) for how in HOWS)
    return least, most


def _assumptions(ground: Ground, machine: Machine) -> tuple[str, ...]:
    """What was taken for granted, in sentences."""
    looked = len(ground.data.demonstrations.seen)
    said = [
        f"Lengths are those of {looked:,} demonstrations and {len(ground.data.corpus.seen):,} "
        "texts of the corpus; a policy is taken to write as long as what it was trained on.",
        "Every label is taken to prefer an answer, and every answer to come to its end.",
    ]
    if machine.speed is not None:
        said.append(
            f"Seconds are a guess: {machine.speed / 1e9:,.0f} GFLOP/s of this machine's matrix "
            f"products, of which training reaches {_range('trained')} and drawing answers "
            f"{_range('sampled')}; what runs beside the models is not in them. --like RUN goes by "
            "an earlier run's clock."
        )
    if machine.width == HALF and machine.half is False:
        said.append(
            f"This {machine.device} has no bfloat16 in hardware, and products in it take longer "
            "than in float32, a hundred times as long on some processors: set dtype to float32."
        )
    return (*said, *ground.data.notes)


def _range(how: How) -> str:
    low, high = SHARES[how]
    return f"{low:.0%} to {high:.0%}"
