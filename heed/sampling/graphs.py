"""Steps of few shapes, recorded when they come again and replayed since.

On a GPU a step of decoding is some hundreds of small kernels, and to launch them one by one takes
longer than they do. A CUDA graph launches them all at once, but has the shapes and the addresses
that it was recorded with. So rows and columns are rounded up to few numbers (`Bucket`), what goes
in and out stands in buffers that stay where they are, and recordings live and die with the weights
and the cache that they were made over: a decoder has its own.

A recording is held against the same step computed plainly before it is used. Where one comes out
differently or cannot be made, the model's steps are computed plainly from then on.
"""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakSet

import torch
from torch import Tensor, nn

log = logging.getLogger("heed.graphs")

FEWEST_COLUMNS = 64
"""Of a bucket: shorter ones would save next to nothing."""
AGREEMENT = {torch.float32: 1e-5, torch.bfloat16: 2.0**-6, torch.float16: 2.0**-9}
"""How far what was recorded may lie from what was computed, as a share of the largest: the kernels
are the same, and some of them may choose another order of their sums."""

Work = Callable[[], Tensor]
_REFUSED: WeakSet[nn.Module] = WeakSet()
"""Models of which a recording went wrong."""


class Recorder(Protocol):
    """How work over buffers that stay where they are is recorded. It must give the same when it is
    done twice, ask no value of a tensor, and give a part of such a buffer.
    """

    def computed(self, work: Work) -> Tensor:
        """The work done now, plainly, where recordings are made."""
        ...

    def recorded(self, work: Work) -> Work:
        """What does the work again. The work is not done yet. Raises RuntimeError where it cannot
        be recorded.
        """
        ...


class CudaRecorder:
    """CUDA graphs over one pool of memory: they are replayed one after another.

    A capture does not run through `torch.cuda.graph`, which empties the allocator's cache every
    time, and leaves its stream behind as the current one where a capture fails.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def computed(self, work: Work) -> Tensor:
        """On the stream of captures, so that kernels and their workspaces are there when one is
        made.
        """
        here = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            found = work()
        here.wait_stream(self._stream)
        return found

    def recorded(self, work: Work) -> Work:
        graph, collects = torch.cuda.CUDAGraph(), gc.isenabled()
        gc.disable()  # what it frees may be another's graph, which a capture does not bear
        try:
            with torch.cuda.stream(self._stream):
                # Other threads (another engine, a display) may allocate meanwhile.
                graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
                try:
                    found = work()
                finally:
                    graph.capture_end()
        finally:
            if collects:
                gc.enable()

        def replayed() -> Tensor:
            graph.replay()
            return found

        return replayed


@dataclass(frozen=True)
class Bucket:
    """The shape of a step: rows, and columns of the cache that they see."""

    rows: int
    columns: int

    @classmethod
    def of(cls, rows: int, columns: int, slots: int, capacity: int) -> Bucket:
        """That of so many, of a cache of `slots` rows and `capacity` columns."""
        wide = max(FEWEST_COLUMNS, rounded_up(columns))
        return cls(min(rounded_up(rows), slots), min(wide, capacity))


def rounded_up(count: int) -> int:
    """The next of 1, 2, 3, 4, 6, 8, 12, 16, 24, ...: less than half more."""
    power = 1 << (count - 1).bit_length()
    return power * 3 // 4 if count <= power * 3 // 4 else power


class Recordings:
    """The recordings of one decoder's steps. `good`: none has gone wrong."""

    def __init__(self, recorder: Recorder, model: nn.Module) -> None:
        self.good = True
        self.replayed = 0
        """How many steps were replayed."""
        self._recorder = recorder
        self._model = model
        self._seen: set[Bucket] = set()
        self._replays: dict[Bucket, Work] = {}

    def run(self, bucket: Bucket, work: Work) -> Tensor:
        """The work of a bucket: done plainly the first time, recorded the second, and replayed.
        What it gives holds until something is run again.
        """
        if bucket in self._replays:
            self.replayed += 1
            return self._replays[bucket]()
        if not self.good or bucket not in self._seen:
            self._seen.add(bucket)
            return self._recorder.computed(work)
        plain = self._recorder.computed(work).clone()
        why = "a recorded step differs from the plain one"
        try:
            replay = self._recorder.recorded(work)
            found = replay()
            agrees = _agree(found, plain)
        except RuntimeError as error:
            agrees, why = False, str(error)
        if agrees:
            self._replays[bucket] = replay
            return found
        log.warning("steps of this model are launched one by one: %s", why)
        self.good = False
        self._replays.clear()
        _REFUSED.add(self._model)
        return self._recorder.computed(work)  # over whatever the recording has written


def recordings(model: nn.Module, device: torch.device) -> Recordings | None:
    """For the steps of a decoder over a model's weights; None where nothing records them, where one
    of this model went wrong before, or with HEED_GRAPHS=no.
    """
    if model in _REFUSED or os.environ.get("HEED_GRAPHS") == "no":
        return None
    recorder = recorder_for(device)
    return None if recorder is None else Recordings(recorder, model)


def recorder_for(device: torch.device) -> Recorder | None:
    """What records on a device: CUDA graphs, or nothing."""
    return CudaRecorder(device) if device.type == "cuda" else None


def _agree(found: Tensor, plain: Tensor) -> bool:
    allowed = AGREEMENT.get(plain.dtype, 0.0) * plain.float().abs().max()
    return bool(((found.float() - plain.float()).abs() <= allowed).all())
