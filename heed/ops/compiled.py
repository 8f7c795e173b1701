"""Functions in C, built once by the system's C compiler where there is one.

In torch, what stands between two matrix products is several passes and a dozen calls; compiled it
is one of each. Without a compiler, or with HEED_COMPILED=no, torch does the same. A library lies in
the user's cache; it calls the OpenMP that torch has loaded, so that both share their threads.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

HEADER = Path(__file__).with_name("compiled.h")
ROWS = Path(__file__).with_name("rows.h")
CPUINFO = Path("/proc/cpuinfo")
FLAGS = ["-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-fPIC"]
FORMATS = {
    torch.float32: ("f32", "#define T float\n#define LOAD(x) (x)\n#define STORE(x) (x)\n"),
    torch.bfloat16: (
        "b16",
        "#define BF16\n#define T uint16_t\n#define LOAD from_bf16\n#define STORE to_bf16\n",
    ),
}
SECONDS = 60.0
"""The compiler is given so long."""
POINTER, COUNT, NUMBER = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
Signature = Sequence[tuple[str, tuple[Any, ...], Any]]
"""Names of functions, what they take and what they return; each is there once a format."""


def compiled(
    sources: Sequence[Path], signature: Signature, dtype: torch.dtype, device: torch.device
) -> Any | None:
    """The functions of sources for one format of computation: an object with one attribute a name.

    None where there are none for that format and device.
    """
    if device.type != "cpu" or dtype not in FORMATS or os.environ.get("HEED_COMPILED") == "no":
        return None
    return _functions(tuple(sources), tuple(signature), FORMATS[dtype][0])


def address(tensor: torch.Tensor | None) -> int | None:
    """Where its numbers stand: it has to outlive who uses them."""
    return None if tensor is None else tensor.data_ptr()


class _Functions:
    """A library's functions of one format, by their plain names."""


@cache
def _functions(sources: tuple[Path, ...], signature: Signature, suffix: str) -> Any | None:
    library = _library(sources)
    if library is None:
        return None
    found = _Functions()
    for name, takes, gives in signature:
        function = getattr(library, f"{name}_{suffix}")
        function.argtypes, function.restype = takes, gives
        setattr(found, name, function)
    return found


@cache
def _library(sources: tuple[Path, ...]) -> Any | None:
    """The library, built if it is not there; None where that does not go."""
    compiler = shutil.which(os.environ.get("CC") or "cc")
    if compiler is None or platform.system() != "Linux":
        return None
    try:
        return ctypes.CDLL(str(_built(sources, compiler)))
    except (OSError, RuntimeError, subprocess.SubprocessError):  # not here, no home: torch does it
        return None


def _built(sources: Sequence[Path], compiler: str) -> Path:
    """Compile for this processor, once; a half-written file is never seen."""
    source = _source(sources)
    version = subprocess.run(
        [compiler, "--version"], capture_output=True, check=True, timeout=SECONDS
    )
    mark = hashlib.sha256(
        "\n".join([source, *FLAGS, version.stdout.decode(errors="replace"), _processor()]).encode()
    )
    cached = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "heed"
    target = cached / f"{sources[-1].stem}-{mark.hexdigest()[:16]}.so"
    if target.exists():
        return target
    cached.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=cached) as scratch:
        text, made = Path(scratch, "source.c"), Path(scratch, "made.so")
        text.write_text(source)
        command = [compiler, *FLAGS, "-shared", str(text), "-o", str(made), "-lm"]
        subprocess.run(command, capture_output=True, check=True, timeout=SECONDS)
        made.replace(target)
    return target


def _source(sources: Sequence[Path]) -> str:
    """The C source: the header, and what is done with rows and the bodies once a format."""
    body = "\n".join(part.read_text(encoding="utf-8") for part in (ROWS, *sources))
    undone = "".join(f"#undef {name}\n" for name in ("BF16", "T", "LOAD", "STORE", "NAME"))
    parts = [
        f"{macros}#define NAME(name) name##_{suffix}\n{body}\n{undone}"
        for suffix, macros in FORMATS.values()
    ]
    return HEADER.read_text(encoding="utf-8") + "\n".join(parts)


def _processor() -> str:
    """What -march=native depends on: a cache may be shared between machines."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    said = [line for line in lines if line.startswith(("flags", "Features", "model name"))]
    return "\n".join([platform.machine(), *said[:2]])
