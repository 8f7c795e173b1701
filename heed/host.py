"""What the machine has, and the container around it; Linux tells, elsewhere it is not known."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CPUINFO = Path("/proc/cpuinfo")
_CGROUP = Path("/sys/fs/cgroup")
_INACTIVE = re.compile(r"^inactive_file (\d+)$", re.MULTILINE)
_AVAILABLE = re.compile(r"^MemAvailable:\s+(\d+) kB$", re.MULTILINE)

INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile", "asimd", "bf16", "sve")
"""Those that matter for speed: wide vectors, and bfloat16 in hardware."""
_HALF = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


def instruction_sets(path: Path = _CPUINFO) -> list[str] | None:
    """Those of `INSTRUCTIONS` that the processor has; None where nobody says."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", text, re.MULTILINE)
    if found is None:
        return None
    have = set(found[1].split())
    return [name for name in INSTRUCTIONS if name in have]


def computes_in_half(instructions: Sequence[str] | None) -> bool:
    """Whether a processor with these has bfloat16 in hardware."""
    return not _HALF.isdisjoint(instructions or ())


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
