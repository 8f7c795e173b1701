"""What a device can do: operations a second, and the bytes that are free on it."""

from __future__ import annotations

import re
import time
from pathlib import Path

import torch

SIDES = {"cpu": 1024, "cuda": 8192}
"""Of the square matrices that are multiplied: large enough to keep the device busy."""
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
_AVAILABLE = re.compile(r"^MemAvailable:\s+(\d+) kB$", re.MULTILINE)


def matrix_speed(device: torch.device, dtype: torch.dtype, seconds: float) -> float:
    """Floating-point operations a second of matrix products, over about so many seconds.

    No random number is drawn. What other processes take of the machine meanwhile is missing in it.
    """
    side = SIDES.get(device.type, SIDES["cpu"])
    matrix = torch.ones((side, side), device=device, dtype=dtype)
    matrix @ matrix  # the first one loads kernels
    _wait(device)
    began, done = time.perf_counter(), 0
    while (taken := time.perf_counter() - began) < seconds or not done:
        matrix @ matrix
        _wait(device)
        done += 1
    return 2.0 * side**3 * done / max(taken, 1e-9)


def free_memory(device: torch.device) -> int | None:
    """Bytes that new work can have: of the GPU, or of the machine and the container around it."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free
    try:
        found = _AVAILABLE.search(_MEMINFO.read_text())
    except OSError:
        return None
    if found is None:
        return None
    free, limit, used = int(found[1]) * 1024, _number("memory.max"), _number("memory.current")
    return free if limit is None or used is None else min(free, max(0, limit - used))


def _number(name: str) -> int | None:
    """A figure of the control group; None where there is none, or no limit."""
    try:
        return int((_CGROUP / name).read_text())
    except (OSError, ValueError):
        return None


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
