"""The most memory that a piece of work held, and memory that it frees and asks for again.

On a GPU what is held is what torch allocated there; on the CPU the process's resident memory,
programs and libraries included, which Linux tells and lets us begin to watch anew. Elsewhere it is
not known.

On a GPU torch keeps what is freed for what comes next. On a CPU it asks the C library for every
tensor, and glibc gives large ones back to the system when they are freed and takes new pages for
the next: each page is then cleared, and comes by a fault, while other threads wait.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""Numbers of `mallopt`, of glibc's malloc.h."""
KEPT = {M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 2**26, M_MMAP_THRESHOLD: 2**30}
"""In bytes: how much freed memory at the heap's end is kept, what the heap grows by at least, and
from which size on a block is no part of the heap, but goes back when it is freed."""
_ASKED = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
"""Variables by which somebody has chosen how memory is allocated."""
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


def keep_freed() -> bool:
    """From now on this process keeps what it frees; `give_back` returns it. Whether that could be
    had: nothing is changed without glibc, or where the environment has chosen otherwise.
    """
    library = _glibc()
    if library is None or any(name.startswith(_ASKED) for name in os.environ):
        return False
    return all(library.mallopt(name, value) == 1 for name, value in KEPT.items())


def give_back() -> None:
    """Return to the system what was freed and kept."""
    if (library := _glibc()) is not None:
        library.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None) if os.name == "posix" else None
    return library if hasattr(library, "gnu_get_libc_version") else None


def _high_water() -> int | None:
    found = _WATERMARK.search((_PROCESS / "status").read_text())
    return int(found[1]) * 1024 if found else None
