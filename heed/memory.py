"""The most memory that a piece of work held.

On a GPU it is what torch allocated there; on the CPU the process's resident memory, programs and
libraries included, which Linux tells and lets us begin to watch anew. Elsewhere it is not known.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import torch

_PROCESS = Path("/proc/self")
_WATERMARK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


def watch_memory(device: torch.device) -> Callable[[], int | None]:
    """Begin to watch; what is returned tells the most bytes held since, or None where unknown."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return lambda: torch.cuda.max_memory_allocated(device)
    try:
        (_PROCESS / "clear_refs").write_text("5")  # the high-water mark falls to what is held now
    except OSError:
        return lambda: None
    return _high_water


def _high_water() -> int | None:
    found = _WATERMARK.search((_PROCESS / "status").read_text())
    return int(found[1]) * 1024 if found else None
