"""How devices are shared out: some train, the others draw a policy gradient's answers as
servers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from heed.planning.hardware import Hardware
from heed.planning.memory import LOGITS, VOCABULARY, Holds, cache
from heed.planning.ranks import WAYS, RankMemory, Way, rank_memory
from heed.planning.sizes import Size
from heed.recipe import OnPolicy, Stage

MOST = 2**16
"""Devices beyond which none is tried."""
DOUBLING: tuple[int, ...] = tuple(2**power for power in range(MOST.bit_length()))
SIDE_BY_SIDE = 256
"""Answers that a server draws at once, where its memory holds so many."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Devices that train, devices that draw, and how many of these are one server."""

    trains: int
    draws: int = 0
    server: int = 1

    @property
    def servers(self) -> int:
        return self.draws // self.server

    @property
    def count(self) -> int:
        return self.trains + self.draws


def layouts(drawn: Sequence[Holds], hardware: Hardware) -> list[Layout]:
    """The ways to share the devices out that are worth trying, for stages that may ask servers."""
    server = server_of(drawn, hardware)
    if hardware.servers is not None:
        size = min(server or hardware.servers, hardware.servers)
        draws = hardware.servers // size * size
        return [Layout(hardware.count - draws, draws, size)]
    alone = [Layout(hardware.count)]
    if server is None or not drawn:
        return alone
    some = [times * server for times in DOUBLING if times * server < hardware.count]
    return alone + [Layout(hardware.count - draws, draws, server) for draws in some]


def server_of(drawn: Sequence[Holds], hardware: Hardware) -> int | None:
    """The fewest devices of one node that hold every policy that draws, with the cache of a row;
    None where a node does not.
    """
    for devices in DOUBLING:
        if devices > hardware.devices:
            break
        if all(room(holds, hardware, devices) for holds in drawn):
            return devices
    return None


def room(holds: Holds, hardware: Hardware, devices: int) -> int:
    """Rows for whose cache a server has room, beside the weights of the policy in the width of
    activations, as vLLM holds them. (`heed rollouts` holds them in float32, too.)
    """
    size, width = policy_of(holds), hardware.kind.width
    free = devices * (hardware.usable - hardware.kind.process) - width * size.weights
    row = holds.draws[1] * cache(size, width) + min(size.vocabulary, VOCABULARY) * 4 * LOGITS
    return int(min(SIDE_BY_SIDE, max(0.0, free) // row))


def policy_of(holds: Holds) -> Size:
    """Whose answers are drawn: what trains, else what is held first."""
    return holds.trains[0].size if holds.trains else holds.kept[0]


def smallest(
    stage: Stage, holds: Holds, ranks: int, hardware: Hardware, *, drawn_here: bool
) -> tuple[RankMemory, Way]:
    """What a rank holds the first way that fits, at least as the recipe has it; where none does the
    last. A stage that does not train is one process, whatever the others are; adapters that share
    one base do neither.
    """
    shared = getattr(getattr(stage, "lora", None), "share", False)
    ways = [
        way for way in (WAYS if stage.trains and not shared else WAYS[:1])
        if way.shard >= getattr(stage, "shard", False)
        and way.recompute >= getattr(stage, "checkpoint_activations", False)
        and (not way.shard or ranks > 1)
    ] or [WAYS[0]]  # fmt: skip
    kind = hardware.kind
    for way in ways:
        held = rank_memory(
            holds, ranks, way, width=kind.width, process=kind.process, drawn_here=drawn_here
        )
        if held.total <= hardware.usable:
            break
    return held, way


def least(stage: Stage, holds: Holds, hardware: Hardware) -> int | None:
    """The fewest devices that hold a stage, of powers of two: each drawing itself, or all training
    and one server more. None where `MOST` are too few.
    """
    server = server_of([holds], hardware) if isinstance(stage, OnPolicy) else None
    for ranks in DOUBLING if stage.trains else (1,):
        for beside in (0, server):
            if beside is not None:
                held, _ = smallest(stage, holds, ranks, hardware, drawn_here=not beside)
                if held.total <= hardware.usable:
                    return int(ranks + beside)
    return None
