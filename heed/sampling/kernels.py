"""Attention at query length one, compiled for a CPU: one pass over a cache in slots."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from heed.ops.compiled import COUNT, NUMBER, POINTER, compiled

SOURCE = Path(__file__).with_name("kernels.c")
SIGNATURE = (("attend", (*[POINTER] * 7, *[COUNT] * 5, NUMBER, COUNT), None),)
LONGEST = 2**16
"""Tokens of a row's cache: a row's scores stand on the stack."""


@dataclass(frozen=True)
class Kernels:
    """The compiled function for one format of computation; tensors are contiguous, on the CPU."""

    functions: Any
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
        self.functions.attend(
            heads.data_ptr(), keys.data_ptr(), values.data_ptr(), at.data_ptr(), cosines, sines,
            out.data_ptr(), rows, query_heads, key_heads, width, capacity, scale, window or 0,
        )  # fmt: skip
        return out


def kernels(dtype: torch.dtype, device: torch.device) -> Kernels | None:
    """The compiled step, or None where there are none for that format and device."""
    functions = compiled(SOURCE, SIGNATURE, dtype, device)
    return None if functions is None else Kernels(functions, dtype)
