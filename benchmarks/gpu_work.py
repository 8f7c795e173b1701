"""What the comparisons on a GPU have in common: models by their shapes, the limits of the device,
sides that take turns, and the lines that they become.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from heed.memory import watch_memory
from heed.models.speed import copy_speed, matrix_speed
from heed.planning import shapes
from heed.planning.sizes import Size, size_of

TINY: Mapping[str, Any] = {
    **shapes.SHAPES["1M"],
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "vocab_size": 512,
}
SHAPES: Mapping[str, Mapping[str, Any]] = {
    "tiny": TINY,
    "25M": shapes.SHAPES["25M"],
    "500M": shapes.SHAPES["0.5B"],
    "7B": shapes.SHAPES["7B"],
}
"""25M is that of the other benchmarks, 500M Qwen2.5-0.5B's, 7B Qwen2.5-7B's."""
POSITIONS = 4096
FIRST = 3
"""The first id that is a word."""


@dataclass(frozen=True)
class Device:
    """A device, the format that it computes in, and what it can do at best."""

    device: torch.device
    dtype: torch.dtype
    products: float
    """Operations a second of matrix products in this format."""
    memory: float
    """Bytes a second that memory moves."""

    @classmethod
    def measured(cls, device: torch.device, dtype: torch.dtype, seconds: float) -> Device:
        speeds = matrix_speed(device, dtype, seconds), copy_speed(device, seconds)
        return cls(device, dtype, *speeds)

    @property
    def name(self) -> str:
        gpu = self.device.type == "cuda"
        return torch.cuda.get_device_name(self.device) if gpu else "CPU"

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def forget(self) -> None:
        """Give back what is free, so that the next side finds the device empty."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


@dataclass(frozen=True)
class Line:
    """The rounds of one side of one piece of work."""

    work: str
    side: str
    seconds: Sequence[float]
    tokens: int
    """Of a round."""
    peak: int | None
    """Bytes."""
    least: float
    """Seconds that the device's limits leave a round."""
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def rate(self) -> float:
        return self.tokens / self.median

    @property
    def share(self) -> float:
        return self.least / self.median


@dataclass(frozen=True)
class Side:
    """One way to do a piece of work. `check` is given what the first round gave: it raises
    `harness.Unequal`, or returns a note.
    """

    name: str
    act: Callable[[], Any]
    check: Callable[[Any], str]


def in_turn(
    work: str, sides: Sequence[Side], device: Device, rounds: int, tokens: int, least: float
) -> list[Line]:
    """All sides once, to warm up and to be checked, and `rounds` times in turn. A side that fails
    or is refused for want of memory has no seconds, and a note that says why.
    """
    notes, peaks, clocks = {}, {}, {side.name: list[float]() for side in sides}
    for side in sides:
        peak = watch_memory(device.device)
        try:
            notes[side.name] = side.check(side.act())
        except Exception as error:  # a peer may fail in any way; the others are measured
            said = str(error).splitlines() or [""]
            notes[side.name] = f"left out: {type(error).__name__}: {said[0][:200]}"
        peaks[side.name] = peak()
        device.forget()
    going = [side for side in sides if not notes[side.name].startswith("left out")]
    for _ in range(rounds):
        for side in going:
            device.wait()
            began = time.perf_counter()
            side.act()
            device.wait()
            clocks[side.name].append(time.perf_counter() - began)
    return [
        Line(work, side.name, clocks[side.name], tokens, peaks[side.name], least, notes[side.name])
        for side in sides
    ]


def size(shape: str) -> Size:
    return size_of(SHAPES[shape])


def new_model(shape: str, device: torch.device, dtype: torch.dtype) -> Any:
    """A model of random weights, in eval mode."""
    config = AutoConfig.for_model(
        **SHAPES[shape],
        max_position_embeddings=POSITIONS,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
