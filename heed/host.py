"""What the machine has, and the container around it; Linux tells, elsewhere it is not known."""

from __future__ import annotations

import re
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
_AVAILABLE = re.compile(r"^MemAvailable:\s+(\d+) kB$", re.MULTILINE)


def available_memory() -> int | None:
    """Bytes that new work can have."""
    try:
        found = _AVAILABLE.search(_MEMINFO.read_text())
    except OSError:
        return None
    if found is None:
        return None
    free, limit, used = int(found[1]) * 1024, _number("memory.max"), _number("memory.current")
    return free if limit is None or used is None else min(free, max(0, limit - used))


def allowed_cores() -> float | None:
    """Cores that the control group grants, 1.5 for three halves; None without a limit."""
    try:
        quota, period = (_CGROUP / "cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError):
        return None


def _number(name: str) -> int | None:
    """A figure of the control group; None where there is none, or no limit."""
    try:
        return int((_CGROUP / name).read_text())
    except (OSError, ValueError):
        return None
