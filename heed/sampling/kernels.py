"""Compiled steps of decoding on a CPU, built once by the system's C compiler where there is one.

Attention at query length one, RMSNorm and the gate of an MLP: in torch each is several passes and
a dozen calls, here one of each. Without a compiler, or with HEED_COMPILED=no, torch does the same.
The library lies in the user's cache; it calls the OpenMP that torch has loaded, so that both share
their threads.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

SOURCE = Path(__file__).with_name("kernels.c")
FLAGS = ["-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-fPIC"]
FORMATS = {
    torch.float32: ("f32", "#define T float\n#define LOAD(x) (x)\n#define STORE(x) (x)\n"),
    torch.bfloat16: ("b16", "#define T uint16_t\n#define LOAD from_bf16\n#define STORE to_bf16\n"),
}
LONGEST = 2**16
"""Tokens of a row's cache: a row's scores stand on the stack."""
SECONDS = 60.0
"""The compiler is given so long."""


@dataclass(frozen=True)
class Kernels:
    """The compiled functions for one format of computation; tensors are contiguous, on the CPU."""

    library: Any
    dtype: torch.dtype

    def attend(
        self,
        heads: Tensor,
        keys: Tensor,
        values: Tensor,
        at: Tensor,
        table: tuple[Tensor, Tensor] | None,
        *,
        query_heads: int,
        scale: float,
        window: int | None,
    ) -> Tensor:
        """Queries, keys and values of new tokens, heads [R, H + 2 K, W], put into a cache of keys
        [S, K, W, C] and values [S, K, C, W] at places [R] (turned by a table of cosines and sines
        [C, W]), and attention to what is there, [R, H * W].
        """
        rows, _, width = heads.shape
        _, key_heads, capacity, _ = values.shape
        out = torch.empty((rows, query_heads * width), dtype=self.dtype)
        cosines, sines = (
            (None, None) if table is None else (table[0].data_ptr(), table[1].data_ptr())
        )
        self._function("attend")(
            heads.data_ptr(), keys.data_ptr(), values.data_ptr(), at.data_ptr(), cosines, sines,
            out.data_ptr(), rows, query_heads, key_heads, width, capacity, scale, window or 0,
        )  # fmt: skip
        return out

    def rms_norm(self, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        """x [..., D] and weight [D] in float32."""
        out = torch.empty(x.shape, dtype=self.dtype)
        width = x.shape[-1]
        self._function("rms_norm")(
            x.data_ptr(), weight.data_ptr(), out.data_ptr(), x.numel() // width, width, epsilon
        )
        return out

    def gated(self, x: Tensor) -> Tensor:
        """silu(gate) * up of x [..., 2 F], gate first: [..., F]."""
        width = x.shape[-1] // 2
        out = torch.empty((*x.shape[:-1], width), dtype=self.dtype)
        self._function("gated")(x.data_ptr(), out.data_ptr(), out.numel() // width, width)
        return out

    def _function(self, name: str) -> Any:
        return getattr(self.library, f"{name}_{FORMATS[self.dtype][0]}")


def kernels(dtype: torch.dtype, device: torch.device) -> Kernels | None:
    """The compiled steps, or None where there are none for that format and device."""
    if device.type != "cpu" or dtype not in FORMATS or os.environ.get("HEED_COMPILED") == "no":
        return None
    library = _library()
    return None if library is None else Kernels(library, dtype)


def is_silu(activation: Any) -> bool:
    """Whether an MLP's activation is the one that `gated` knows."""
    return type(activation) in (nn.SiLU, type(_silu()))


@cache
def _silu() -> Any:
    from transformers.activations import ACT2FN

    return ACT2FN["silu"]


@cache
def _library() -> Any | None:
    """The library, built if it is not there; None where that does not go."""
    compiler = shutil.which(os.environ.get("CC") or "cc")
    if compiler is None or platform.system() != "Linux":
        return None
    try:
        path = _built(compiler)
        library = ctypes.CDLL(str(path))
    except (OSError, RuntimeError, subprocess.SubprocessError):  # not here, no home: torch does it
        return None
    pointer, count, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
    arguments = {
        "attend": [*[pointer] * 7, *[count] * 5, number, count],
        "rms_norm": [pointer, pointer, pointer, count, count, number],
        "gated": [pointer, pointer, count, count],
    }
    for name, types in arguments.items():
        for suffix, _ in FORMATS.values():
            function = getattr(library, f"{name}_{suffix}")
            function.argtypes, function.restype = types, None
    return library


def _built(compiler: str) -> Path:
    """Compile for this processor, once; a half-written file is never seen."""
    source = _source()
    version = subprocess.run(
        [compiler, "--version"], capture_output=True, check=True, timeout=SECONDS
    )
    mark = hashlib.sha256(
        "\n".join([source, *FLAGS, version.stdout.decode(errors="replace"), _processor()]).encode()
    )
    cached = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "heed"
    target = cached / f"kernels-{mark.hexdigest()[:16]}.so"
    if target.exists():
        return target
    cached.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=cached) as scratch:
        text, made = Path(scratch, "kernels.c"), Path(scratch, "kernels.so")
        text.write_text(source)
        command = [compiler, *FLAGS, "-shared", str(text), "-o", str(made), "-lm"]
        subprocess.run(command, capture_output=True, check=True, timeout=SECONDS)
        made.replace(target)
    return target


def _source() -> str:
    """The C source, once a format."""
    body = SOURCE.read_text(encoding="utf-8")
    parts = [
        f"{macros}#define NAME(name) name##_{suffix}\n{body}\n#undef T\n#undef LOAD\n#undef STORE\n"
        "#undef NAME\n"
        for suffix, macros in FORMATS.values()
    ]
    return "#include <stdint.h>\n" + "\n".join(parts)


def _processor() -> str:
    """What -march=native depends on: a cache may be shared between machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    said = [line for line in lines if line.startswith(("flags", "Features", "model name"))]
    return "\n".join([platform.machine(), *said[:2]])
