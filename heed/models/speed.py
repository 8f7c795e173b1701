"""What a device can do: operations a second, and the bytes that are free on it."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from heed.host import available_memory

SIDES = {"cpu": 1024, "cuda": 8192}
"""Of the square matrices that are multiplied: large enough to keep the device busy."""
COPIED = {"cpu": 2**26, "cuda": 2**30}
"""Bytes of a block that is copied: more than caches hold."""


def matrix_speed(
    device: torch.device, dtype: torch.dtype, seconds: float, side: int | None = None
) -> float:
    """Floating-point operations a second of products of square matrices, over about so many
    seconds.

    No random number is drawn. What other processes take of the machine meanwhile is missing in it.
    """
    side = side or SIDES.get(device.type, SIDES["cpu"])
    matrix = torch.ones((side, side), device=device, dtype=dtype)
    return 2.0 * side**3 * times_a_second(lambda: matrix @ matrix, device, seconds)


def copy_speed(device: torch.device, seconds: float) -> float:
    """Bytes a second that memory moves, read and written, over about so many seconds."""
    size = COPIED.get(device.type, COPIED["cpu"])
    block = torch.ones(size // 4, device=device)
    other = torch.empty_like(block)
    return 2.0 * size * times_a_second(lambda: other.copy_(block), device, seconds)


def times_a_second(work: Callable[[], object], device: torch.device, seconds: float) -> float:
    """How often it can be done in a second, by about so many seconds of doing it."""
    work()  # the first one loads kernels
    _wait(device)
    began, done = time.perf_counter(), 0
    while (taken := time.perf_counter() - began) < seconds or not done:
        work()
        _wait(device)
        done += 1
    return done / max(taken, 1e-9)


def free_memory(device: torch.device) -> int | None:
    """Bytes that new work can have: of the GPU, or of the machine and the container around it."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free
    return available_memory()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
