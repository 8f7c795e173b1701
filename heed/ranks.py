"""The processes that train together, if there are several (torchrun)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class Ranks:
    """This process's rank among `count`; alone, every method does nothing."""

    rank: int
    count: int

    @classmethod
    def here(cls) -> Ranks:
        """As torch.distributed was set up."""
        if not dist.is_initialized():
            return cls(0, 1)
        return cls(dist.get_rank(), dist.get_world_size())

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sum every gradient over ranks; one without rows of its own adds zeros."""
        for parameter in parameters if self.count > 1 else ():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)

    def add(self, totals: Iterable[Tensor]) -> None:
        """Sum tensors over ranks, in place."""
        for total in totals if self.count > 1 else ():
            dist.all_reduce(total)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process: all must leave a loop together."""
        total = torch.tensor(float(flag))
        self.add([total])
        return bool(total)

    def wait(self) -> None:
        """Until all have come here."""
        if self.count > 1:
            dist.barrier()
