"""How long a stage learns, reads and draws on a layout of devices, by roofline.

A stage that does not train is one process: it reads and draws on one device, whatever the others
are.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum

from heed import recipe
from heed.planning.ground import Ground
from heed.planning.hardware import Hardware
from heed.planning.layout import Layout, policy_of, room
from heed.planning.memory import SCORED, WEIGHT, Holds
from heed.planning.passes import Counts, How, Pass, again, operations
from heed.planning.ranks import Way
from heed.planning.roofline import (
    LINK,
    Bound,
    busy,
    decoding_step,
    gathers,
    longest,
    moving,
    reduces,
)


@dataclass(frozen=True, slots=True)
class Work:
    """What one stage does, on what, and which way."""

    ground: Ground
    stage: recipe.Stage
    counts: Counts
    holds: Holds
    hardware: Hardware
    layout: Layout
    way: Way

    @property
    def ranks(self) -> int:
        return self.layout.trains if self.stage.trains else 1

    @property
    def servers(self) -> int:
        """0 where the ranks draw."""
        return self.layout.servers if isinstance(self.stage, recipe.OnPolicy) else 0

    def learning(self) -> Bound:
        """Operations and what ranks send each other go on side by side."""
        passes, kind, ranks = self._of("trained"), self.hardware.kind, self.ranks
        flops = self._operations(passes)
        if self.way.recompute:
            flops += fsum(again(each, self.ground.sizes[each.root]) for each in passes)
        models, steps = self.holds.trains, self.counts.steps
        sent = 2 * steps * fsum(reduces(each.trained) for each in models)
        if self.way.shard and passes:
            # A policy and its critic see every micro-batch both.
            tokens = self.counts.tokens("trained") / len(models)
            micros = max(steps, tokens / (ranks * self.holds.learns))
            sent = micros * fsum(
                gathers(each.size, kind.width, backward=True) + reduces(each.trained)
                for each in models
            )
        speed = ranks * kind.flops * kind.shares.training * busy(rows_of(self.stage), ranks)
        return longest(compute=flops / speed, link=self._moved(sent))

    def reading(self) -> Bound:
        """Forward passes of the ranks; prompts that are answered count here."""
        passes, kind, ranks = self._of("forwarded"), self.hardware.kind, self.ranks
        split = ranks * max(SCORED, self.holds.sees)
        sent = fsum(
            max(rounds_of(self.stage), each.tokens / split)
            * gathers(self.ground.sizes[each.root], kind.width, backward=False)
            for each in passes
        )
        speed = ranks * kind.flops * kind.shares.prefill
        moved = self._moved(sent) if self.way.shard else 0.0
        return longest(compute=self._operations(passes) / speed, link=moved)

    def drawing(self) -> Bound:
        """Tokens drawn, by every server as many rows side by side as a round gives it and it has
        room for, and before them the weights on their way. A round takes at least as many steps as
        an answer may have tokens.
        """
        passes, kind = self._of("sampled"), self.hardware.kind
        sampling = getattr(self.stage, "sampling", None)
        sampling = sampling if isinstance(sampling, recipe.Sampling) else recipe.Sampling()
        endpoints = self.servers or self.ranks
        devices = self.layout.server if self.servers else 1
        served = self.servers and self.holds.draws[0]
        most = room(self.holds, self.hardware, devices) if served else sampling.batch_size
        rounds = rounds_of(self.stage)
        rows = max(1.0, min(most, self.counts.answers / rounds / endpoints))
        bounds = []
        for each in passes:
            step = decoding_step(
                self.ground.sizes[each.root], rows, self._length(each), width=kind.width,
                devices=devices, flops=kind.flops, bandwidth=kind.bandwidth,
                share=kind.shares.decode,
            )  # fmt: skip
            steps = max(each.tokens / (endpoints * rows), rounds * sampling.max_new_tokens)
            bounds.append(Bound(steps * step.seconds, step.by))
        drawn = fsum(each.seconds for each in bounds)
        sent = self._sending(rounds) if bounds else 0.0
        return Bound(drawn + sent, LINK if sent > drawn else bounds[0].by if bounds else "")

    def _sending(self, rounds: int) -> float:
        """Seconds in which the policy is brought to who draws, in float32: where it lies in shards
        together, to every rank or to the first; from there to every server.
        """
        weights, kind = WEIGHT * policy_of(self.holds).weights, self.hardware.kind
        gathered = self._moved(weights) if self.way.shard else 0.0
        if not self.servers:
            return rounds * gathered
        assert isinstance(self.stage, recipe.OnPolicy), "nobody else asks servers"
        asked = self.stage.servers
        times = rounds / (asked.send_every if asked else 1)
        near = self.layout.count <= self.hardware.devices
        speed = (kind.link if near else kind.network) * kind.shares.link
        return times * (gathered + self.servers * weights / speed)

    def _of(self, how: How) -> list[Pass]:
        return [each for each in self.counts.passes if each.how == how]

    def _operations(self, passes: list[Pass]) -> float:
        return fsum(operations(each, self.ground.sizes[each.root]) for each in passes)

    def _length(self, each: Pass) -> float:
        """Tokens in the cache of a row on average: a prompt and half of an answer."""
        rows = self.ground.data.demonstrations
        answer = each.tokens / self.counts.answers if self.counts.answers else rows.answer()
        return rows.prompt() + answer / 2

    def _moved(self, sent: float) -> float:
        kind = self.hardware.kind
        nodes = -(-self.ranks // self.hardware.devices)
        return moving(
            sent, devices=-(-self.ranks // nodes), nodes=nodes,
            link=kind.link * kind.shares.link, network=kind.network * kind.shares.link,
        )  # fmt: skip


def rounds_of(stage: recipe.Stage) -> int:
    """How often a stage draws and learns in turn."""
    if isinstance(stage, recipe.OnPolicy):
        return stage.iterations
    return stage.rounds if isinstance(stage, recipe.Rejection) else 1


def rows_of(stage: recipe.Stage) -> int:
    """Rows of one optimiser step; of pairs both."""
    if isinstance(stage, recipe.OnPolicy):
        return stage.rollouts // stage.minibatches
    pairs = isinstance(stage, recipe.Dpo | recipe.RewardModelling)
    return int(getattr(stage, "batch", 1)) * (2 if pairs else 1)
