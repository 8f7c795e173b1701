"""What the machine has, and the container around it; Linux tells, elsewhere it is not known."""

from __future__ import annotations

import re
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
_INACTIVE = re.compile(r"^inactive_file (\d+)$", re.MULTILINE)
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
    if limit is None or used is None:
        return free
    # What was read from files counts as used, and makes room for whoever asks.
    return min(free, max(0, limit - max(0, used - _inactive_files())))


def allowed_cores() -> float | None:
    """Cores that the control group grants, 1.5 for three halves; None without a limit."""
    try:
        quota, period = (_CGROUP / "cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError):
        return None


def _inactive_files() -> int:
    """Bytes of files that the control group keeps in memory and nobody has read again."""
    try:
        found = _INACTIVE.search((_CGROUP / "memory.stat").read_text())
    except OSError:
        return 0
    return int(found[1]) if found else 0


def _number(name: str) -> int | None:
    """A figure of the control group; None where there is none, or no limit."""
    try:
        return int((_CGROUP / name).read_text())
    except (OSError, ValueError):
        return None
