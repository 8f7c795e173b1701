"""The processes that train together, if there are several (torchrun)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from heed.errors import UserError

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
        own = _bytes(texts)
        sizes = [torch.zeros(1, dtype=torch.long) for _ in range(self.count)]
        dist.all_gather(sizes, torch.tensor([len(own)]))
        room = max(int(size) for size in sizes)
        all_ = [torch.zeros(room, dtype=torch.uint8) for _ in range(self.count)]
        dist.all_gather(all_, torch.nn.functional.pad(own, (0, room - len(own))))
        return [_lines(part[: int(size)]) for part, size in zip(all_, sizes, strict=True)]

    def from_first(self, ask: Callable[[], Sequence[str]]) -> list[str]:
        """What `ask` gives in the first process, which alone calls it; no text has a line break.

        Raises its UserError in all of them: none waits for what does not come.
        """
        if self.count == 1:
            return list(ask())
        said: list[str] = []
        if self.rank == 0:
            try:
                said = ["", *ask()]
            except UserError as error:
                said = [json.dumps(str(error))]
        refusal, *texts = self._broadcast(said)
        if refusal:
            raise UserError(json.loads(refusal))
        return texts

    def _broadcast(self, texts: Sequence[str]) -> list[str]:
        own = _bytes(texts)
        size = torch.tensor([len(own)])
        dist.broadcast(size, 0)
        written = own if self.rank == 0 else torch.zeros(int(size), dtype=torch.uint8)
        dist.broadcast(written, 0)
        return _lines(written)

    def wait(self) -> None:
        """Until all have come here."""
        if self.count > 1:
            dist.barrier()


def _bytes(texts: Sequence[str]) -> Tensor:
    """Each text and a line break after it."""
    written = "".join(f"{text}\n" for text in texts).encode()
    if not written:
        return torch.zeros(0, dtype=torch.uint8)
    return torch.frombuffer(bytearray(written), dtype=torch.uint8)


def _lines(written: Tensor) -> list[str]:
    return written.numpy().tobytes().decode().split("\n")[:-1]
