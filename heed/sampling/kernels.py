"""Decoding's compiled functions for a CPU, and how a decoder is described to them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from heed.ops.compiled import COUNT, NUMBER, POINTER, address, compiled

SOURCES = [Path(__file__).with_name(name) for name in ("products.c", "decoder.c")]
SIGNATURE = (
    ("pack", (POINTER, COUNT, POINTER, *[COUNT] * 4), None),
    ("multiply", (POINTER, POINTER, POINTER, COUNT), None),
    ("step", (*[POINTER] * 5, COUNT), None),
    ("attend", (POINTER, COUNT, *[POINTER] * 3, COUNT), None),
    ("fill", (POINTER, COUNT, *[POINTER] * 3, COUNT, COUNT), None),
    ("move", (*[POINTER] * 4, COUNT), None),
)
PANEL = 64
"""A multiple of the outputs that stand together in a packed weight, on every processor."""


class Norm(ctypes.Structure):
    """As in decoder.c."""

    _fields_ = [
        ("weight", POINTER), ("offset", POINTER), ("centred", COUNT), ("epsilon", NUMBER)
    ]  # fmt: skip


class Linear(ctypes.Structure):
    """As in products.c."""

    _fields_ = [("weights", POINTER), ("bias", POINTER), ("in", COUNT), ("out", COUNT)]


class Layer(ctypes.Structure):
    """As in decoder.c."""

    _fields_ = [
        *((name, Norm) for name in ("attention_norm", "query_norm", "key_norm", "mlp_norm")),
        *((name, Linear) for name in ("projections", "output", "up", "down")),
        *((name, POINTER) for name in ("keys", "values")),
        *((name, COUNT) for name in ("query_heads", "key_heads", "width")),
        *((name, COUNT) for name in ("window", "rotary", "gated")),
        ("scale", NUMBER),
    ]


class Decoder(ctypes.Structure):
    """As in decoder.c."""

    _fields_ = [
        ("layers", ctypes.POINTER(Layer)),
        *((name, COUNT) for name in ("count", "hidden", "capacity")),
        ("norm", Norm),
        ("head", Linear),
        *((name, POINTER) for name in ("cosines", "sines")),
    ]


@dataclass(frozen=True, eq=False)
class Product:
    """x [..., in] -> x weight.T + bias [..., out], by a packed copy of the weight [out, in]."""

    functions: Any
    weight: Tensor
    bias: Tensor | None
    """In float32."""
    inputs: int
    outputs: int

    @property
    def linear(self) -> Linear:
        """What compiled code sees; this object keeps alive what it points to."""
        return Linear(address(self.weight), address(self.bias), self.inputs, self.outputs)

    def __call__(self, x: Tensor) -> Tensor:
        """Raises RuntimeError for another depth or format, as torch's products do."""
        if x.shape[-1] != self.inputs or x.dtype != self.weight.dtype:
            raise RuntimeError(f"{x.shape[-1]} of {x.dtype} meet weights of {self.inputs}")
        x = x.contiguous()
        out = x.new_empty((*x.shape[:-1], self.outputs))
        rows = x.numel() // self.inputs
        self.functions.multiply(ctypes.byref(self.linear), address(x), address(out), rows)
        return out


@dataclass(frozen=True)
class Kernels:
    """The compiled functions for one format of computation; tensors are contiguous, on the CPU."""

    functions: Any
    dtype: torch.dtype

    def product(self, parts: Sequence[tuple[Tensor, Tensor | None]]) -> Product | None:
        """Linear layers [out, in] on one input as one; None where they cannot be packed."""
        inputs = parts[0][0].shape[1]
        if self.dtype == torch.bfloat16 and inputs % 2:
            return None
        outputs = sum(len(weight) for weight, _ in parts)
        packed = torch.empty(-(-outputs // PANEL) * PANEL * inputs, dtype=self.dtype)
        first = 0
        for weight, _ in parts:
            known = weight.dtype in (torch.float32, self.dtype)
            given = (weight if known else weight.float()).contiguous()
            wide, last = given.dtype == torch.float32, first + len(given) == outputs
            self.functions.pack(
                address(given), wide, address(packed), inputs, len(given), first, last
            )
            first += len(given)
        return Product(self.functions, packed, _biases(parts), inputs, outputs)


def kernels(dtype: torch.dtype, device: torch.device) -> Kernels | None:
    """The compiled functions, or None where there are none for that format and device."""
    functions = compiled(SOURCES, SIGNATURE, dtype, device)
    return None if functions is None else Kernels(functions, dtype)


def _biases(parts: Sequence[tuple[Tensor, Tensor | None]]) -> Tensor | None:
    """Biases end to end in float32, zeros for layers that have none; None where none has any."""
    if all(bias is None for _, bias in parts):
        return None
    return torch.cat(
        [torch.zeros(len(weight)) if bias is None else bias.float() for weight, bias in parts]
    )
