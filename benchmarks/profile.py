"""Where the time of a round goes, by what processors were seen doing a thousand times a second.

`perf record` (Debian: linux-perf) looks at all threads of a side while it does more rounds than
those that are timed. What a look finds, a function and the library that it lies in, falls under the
first kind of work whose pattern it matches; what is left of the processors' time is nobody's.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

FREQUENCY = 997
"""Looks a second at every thread that runs; no multiple of a scheduler's clock."""
OWN = r"\b(?:tiles|tiled|strip|block|product|multiply)_(?:f32|b16)\b"
"""Our own products, of sampling/products.c."""
MADE = r"\((?://anon|\[|anon|/memfd|/tmp/perf-\d+\.map)[^)]*\)"
"""What lies in no library: oneDNN makes its code while it runs."""
OURS = "(?:fused|decoder|draw|vocabulary)"
"""What is compiled."""
KINDS: Mapping[str, re.Pattern[str]] = {
    name: re.compile(pattern)
    for name, pattern in {
        "compiled steps": rf"^(?!.*{OWN}).*\((?:\S*/)?{OURS}-[0-9a-f]+\.so\)",
        "optimiser": r"(?i)adam",
        "products": rf"{OWN}|(?i:mkl|gemm|dnnl|brg)|{MADE}",
        "waiting": r"libgomp",
        "Python": r"libtorch_python|libpython|/python3?[.0-9]*\)|\.cpython-|_ctypes|libffi",
        "torch": r"libtorch|libc10",
        "memory": r"libc\.so|libc-\d|ld-linux|libstdc",
    }.items()
}
SYSTEM = re.compile(r"\[k\]|\[kernel|\[guest\.kernel|\[vdso\]")
OTHER, IDLE = "others", "idle"
ORDER = (*KINDS, "system", OTHER, IDLE)


def recorder() -> str | None:
    """The program that looks; None where there is none, or where it is not allowed to."""
    perf = shutil.which("perf")
    if perf is None:
        return None
    tried = subprocess.run(
        [perf, "record", "-q", "-e", "cpu-clock", "-o", os.devnull, "true"],
        capture_output=True, check=False,
    )  # fmt: skip
    return perf if tried.returncode == 0 else None


@contextmanager
def watched(perf: str, pid: int) -> Iterator[dict[str, float]]:
    """Look at a process while the context lasts; what is given holds the shares of its time when
    the context is left.
    """
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "perf.data"
        looking = ["-e", "cpu-clock", "-F", str(FREQUENCY), "-p", str(pid), "-o", str(data)]
        with subprocess.Popen([perf, "record", "-q", *looking], stderr=subprocess.DEVNULL) as one:
            while not data.exists() and one.poll() is None:
                time.sleep(0.01)
            began = time.perf_counter()
            yield found
            seconds = time.perf_counter() - began
            one.send_signal(signal.SIGINT)
        said = subprocess.run(
            [perf, "script", "-i", str(data), "-F", "ip,sym,dso"],
            capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
    found.update(shares(said.stdout.splitlines(), seconds * len(os.sched_getaffinity(0))))


def shares(looks: Iterable[str], seconds: float) -> dict[str, float]:
    """Each kind's share of so many seconds of processors, in the order of `ORDER`."""
    seen = Counter(kind(look) for look in looks if look.strip())
    found = {name: seen[name] / FREQUENCY / seconds for name in ORDER if name != IDLE}
    return {**found, IDLE: max(0.0, 1.0 - sum(found.values()))}


def kind(look: str) -> str:
    """The kind of work of one look, such as `sgemm_kernel (/lib/libtorch_cpu.so)`."""
    if SYSTEM.search(look):
        return "system"
    return next((name for name, pattern in KINDS.items() if pattern.search(look)), OTHER)


def table(found: Mapping[str, Mapping[str, float]]) -> str:
    """In Markdown, a line a profile."""
    lines = [f"| | {' | '.join(ORDER)} |", "|---" * (len(ORDER) + 1) + "|"]
    for name, parts in found.items():
        cells = " | ".join(f"{100 * parts[each]:.0f}%" for each in ORDER)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)
