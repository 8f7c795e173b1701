"""The processor, memory, limits and the terminal."""

from __future__ import annotations

import locale
import os
import resource
import sys
from collections.abc import Iterator, Mapping
from shutil import get_terminal_size

from heed.doctoring.check import Check
from heed.host import allowed_cores, available_memory, computes_in_half, instruction_sets

PROCESSOR, MEMORY, TERMINAL = "Processor", "Memory and limits", "Terminal"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_PROC_BIND",
           "OMP_WAIT_POLICY", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")  # fmt: skip
FEWEST_FILES = 512
"""Open files below which a labelling server or a data loader may run out of them."""
SMALL = 2 * 2**30
"""Bytes of memory below which even the demo may not fit."""
GIB = 2**30


def processor(environ: Mapping[str, str] = os.environ) -> Iterator[Check]:
    """Cores, instruction sets and what is said of threads."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    granted = allowed_cores()
    limit = f", of which this container is granted {granted:g}" if granted else ""
    yield Check(PROCESSOR, "cores", "fine", f"{cores}{limit}", value=cores)
    sets = instruction_sets()
    if sets is not None:
        half = "bfloat16 in hardware" if computes_in_half(sets) else "no bfloat16 in hardware"
        says = f"{', '.join(sets) or 'none that are known'}: {half}"
        yield Check(PROCESSOR, "instructions", "fine", says, value=sets)
    known = {name: environ[name] for name in THREADS if name in environ}
    says = ", ".join(f"{name}={value}" for name, value in known.items()) or "nothing is set"
    asked = known.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and cores and int(asked) > cores:
        yield Check(
            PROCESSOR, "threads", "note", f"{says}: more threads than cores slow each other down",
            f"export OMP_NUM_THREADS={cores}", known,
        )  # fmt: skip
    else:
        yield Check(PROCESSOR, "threads", "fine", says, value=known)


def memory() -> Iterator[Check]:
    """What is free, and how many files may be open."""
    free = available_memory()
    if free is None:
        yield Check(MEMORY, "memory", "note", "how much is free is not known here")
    elif free < SMALL:
        yield Check(
            MEMORY, "memory", "note", f"{free / GIB:.1f} GiB free: the demo takes up to 2",
            "close other programs, or lower micro_tokens and batch sizes", free,
        )  # fmt: skip
    else:
        yield Check(MEMORY, "memory", "fine", f"{free / GIB:.1f} GiB free", value=free)
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < FEWEST_FILES:
        remedy = f"ulimit -n {min(4096, most) if most > 0 else 4096}"
        yield Check(MEMORY, "open files", "note", f"at most {files}", remedy, files)
    else:
        yield Check(MEMORY, "open files", "fine", f"at most {files}", value=files)


def terminal(environ: Mapping[str, str] = os.environ) -> Iterator[Check]:
    """Whether what Heed prints can be shown: letters outside of ASCII, colours, width."""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    name = ".".join(part for part in locale.getlocale() if part) or "C"
    if encoding == "utf8":
        yield Check(TERMINAL, "encoding", "fine", f"UTF-8 (locale {name})")
    else:
        yield Check(
            TERMINAL, "encoding", "note",
            f"{sys.stdout.encoding} (locale {name}): signs beyond it come out wrong or not at all",
            "export PYTHONUTF8=1", sys.stdout.encoding,
        )  # fmt: skip
    kind = environ.get("TERM", "none")
    shown = "a terminal" if sys.stdout.isatty() else "no terminal: plain lines, no bars"
    says = f"{shown}, TERM={kind}, {get_terminal_size().columns} columns"
    yield Check(TERMINAL, "terminal", "fine", says)
