"""The processes that train together, if there are several (torchrun)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

_ALONE: ContextVar[bool] = ContextVar("heed.ranks.alone", default=False)


@contextmanager
def alone() -> Iterator[None]:
    """Within the block this process works by itself: the others are not in the same place and
    would leave it waiting.
    """
    before = _ALONE.set(True)
    try:
        yield
    finally:
        _ALONE.reset(before)


@dataclass(frozen=True)
class Ranks:
    """This process's rank among `count`; alone, every method does nothing."""

    rank: int
    count: int

    @classmethod
    def here(cls) -> Ranks:
        """As torch.distributed was set up; one process within `alone`."""
        if _ALONE.get() or not dist.is_initialized():
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

    def gathered(self, texts: Sequence[str]) -> list[list[str]]:
        """What each process brings, by rank; no text has a line break."""
        if self.count == 1:
            return [list(texts)]
        own = torch.frombuffer(bytearray("\n".join([*texts, ""]).encode()), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.long) for _ in range(self.count)]
        dist.all_gather(sizes, torch.tensor([len(own)]))
        room = max(int(size) for size in sizes)
        all_ = [torch.zeros(room, dtype=torch.uint8) for _ in range(self.count)]
        dist.all_gather(all_, torch.nn.functional.pad(own, (0, room - len(own))))
        return [
            bytes(part[: int(size)].tolist()).decode().split("\n")[:-1]
            for part, size in zip(all_, sizes, strict=True)
        ]

    def wait(self) -> None:
        """Until all have come here."""
        if self.count > 1:
            dist.barrier()
