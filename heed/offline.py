"""Training on a fixed set of rows, and measuring on another: SFT, reward models, DPO, KTO.

They differ by the loss function passed, and by nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from heed.losses.term import Term
from heed.models.packing import packs
from heed.models.shares import micro_batches
from heed.ops.batch import Batch
from heed.ops.order import Order
from heed.ranks import Ranks

Rows = TypeVar("Rows", bound=Batch)


class Offline(Generic[Rows]):
    """A Method over `data`; one outer iteration is one optimiser step on the rows of `order`.

    `prepare` fills in what is a statistic of a whole batch, before it is split.
    """

    def __init__(
        self,
        module: nn.Module,
        data: Rows,
        order: Order,
        loss: Callable[[Rows], list[Term]],
        prepare: Callable[[Rows], Rows] = lambda rows: rows,
    ) -> None:
        self.module = module
        self.data = data
        self.order = order
        self.loss = loss
        self.prepare = prepare

    def batches(self, iteration: int) -> Iterator[Rows]:
        device = next(self.module.parameters()).device
        yield self.prepare(self.data.rows(self.order.indices(iteration)).to(device))

    def observe(self, metrics: Mapping[str, float]) -> Mapping[str, float]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to load: the order of the rows is a function of the iteration."""


class HeldoutLoss(Generic[Rows]):
    """A callback: every `every` iterations and after the last, the terms on held-out rows.

    They are logged as "heldout_" and the term's name, and `of` behind it, where there are several
    such measures. `micro_tokens` bounds a forward pass.
    """

    def __init__(
        self,
        method: Offline[Rows],
        data: Rows,
        *,
        every: int,
        last: int,
        micro_tokens: int,
        of: str = "",
    ) -> None:
        self.method = method
        self.data = data
        self.every = every
        self.last = last
        self.micro_tokens = micro_tokens
        self.of = of

    @torch.no_grad()
    def __call__(self, iteration: int, metrics: dict[str, float]) -> None:
        due = iteration % self.every == 0 or iteration == self.last
        if not due or not len(self.data):
            return
        counts = self.data.counts()
        device = next(self.method.module.parameters()).device
        found: dict[str, float] = {}
        rows, packed = self.method.prepare(self.data), packs(self.method.module)
        for micro, counted in micro_batches(rows, self.micro_tokens, packed=packed, alike=True):
            for term in self.method.loss(micro.to(device)):
                mean = float(term.total) / counts[term.count] if counted else 0.0
                found[term.name] = found.get(term.name, 0.0) + mean
        sums = torch.tensor(list(found.values()), dtype=torch.float64)
        Ranks.here().add([sums])
        for name, value in zip(found, sums.tolist(), strict=True):
            metrics[f"heldout_{name}{self.of}"] = value
