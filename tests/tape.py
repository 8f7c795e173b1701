"""A recorder for tests of steps that a GPU would capture: a tape of the calls to torch's kernels.

As in a CUDA graph, numbers that Python knew and the memory that was there stay as they were, what
is made on the way is made anew, and whatever would wait for the device is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

WAITING = frozenset(
    {"_local_scalar_dense", "nonzero", "is_nonzero", "equal", "lift_fresh", "unique"}
)
"""They bring a value to the host, or one of the host's to the device."""


class Tape(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Sequence[Any], Mapping[str, Any], Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [part for part in tree_flatten((args, kwargs))[0] if isinstance(part, Tensor)]
        masked = "index" in func.name() and any(part.dtype == torch.bool for part in given[1:])
        if func.overloadpacket.__name__ in WAITING or masked:
            raise RuntimeError(f"operation not permitted when stream is capturing: {func}")
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, out))
        return out

    def play(self) -> dict[int, Tensor]:
        """All calls again; what stands for each of their tensors now."""
        now: dict[int, Tensor] = {}

        def of(part: Any) -> Any:
            return now.get(id(part), part) if isinstance(part, Tensor) else part

        for func, args, kwargs, out in self.calls:
            again = func(*tree_map(of, args), **tree_map(of, kwargs))
            pairs = zip(tree_flatten(out)[0], tree_flatten(again)[0], strict=True)
            now.update((id(old), new) for old, new in pairs)
        return now


class TapeRecorder:
    """`heed.sampling.graphs.Recorder` on a CPU; it counts."""

    def __init__(self) -> None:
        self.plain = self.made = self.played = 0

    def computed(self, work: Callable[[], Tensor]) -> Tensor:
        self.plain += 1
        return work()

    def recorded(self, work: Callable[[], Tensor]) -> Callable[[], Tensor]:
        self.made += 1
        with Tape() as tape:
            found = work()
        found.fill_(torch.nan)  # a capture computes nothing

        def replayed() -> Tensor:
            self.played += 1
            tape.play()
            return found

        return replayed
