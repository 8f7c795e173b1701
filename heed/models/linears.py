"""Linear layers on a CPU by oneDNN, where it is faster than torch's own choice and as exact.

In float32 torch multiplies by MKL, which leaves AVX-512 unused on some processors; the precision
"medium" lets oneDNN do it. On processors with AMX "medium" may be bfloat16 in disguise: asked once,
by a product whose exact value is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import linear

EXACT = 4.0
"""A product counts as float32 if its error is at most so many times that of torch's default."""
WORTH_PACKING = {torch.float32: 2**18, torch.bfloat16: 0}
"""Weights from which on oneDNN's own layout is faster (measured on Zen with AVX-512: in float32
1.3 times at 512 x 1536, level at 128 x 768; in bfloat16 1.1 to 2.5 times)."""


@contextmanager
def fast_linears() -> Iterator[None]:
    """Within, float32 products are oneDNN's if that is exact here. Put it around linear layers
    only: attention is slower by it.
    """
    if not medium_is_exact():
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@cache
def medium_is_exact() -> bool:
    """Whether products under "medium" are as exact as torch's default ones on this machine."""
    if not torch.backends.mkldnn.is_available():
        return False
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((64, 512), generator=generator)
    weight = torch.randn((512, 512), generator=generator)
    want = linear(x.double(), weight.double())
    before = torch.get_float32_matmul_precision()
    errors = []
    try:
        for precision in ("highest", "medium"):
            torch.set_float32_matmul_precision(precision)
            errors.append(float((linear(x, weight).double() - want).abs().max()))
    finally:
        torch.set_float32_matmul_precision(before)
    return errors[1] <= EXACT * errors[0]


def prepared(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    """x [R, in] -> x weight.T + bias [R, out] for a weight [out, in] that stays as it is for a
    while: packed in oneDNN's layout where that pays, without gradient.
    """
    worth = WORTH_PACKING.get(weight.dtype)
    if worth is None or weight.numel() < worth or not _packs(weight.dtype, weight.device.type):
        return lambda x: linear(x, weight, bias)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), None)
    product = torch.ops.mkldnn._linear_pointwise.default
    return lambda x: product(x, packed, bias, "none", [], "")


@cache
def _packs(dtype: torch.dtype, device: str) -> bool:
    """Whether packed products work here, and are those of the plain ones."""
    if device != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((3, 64), generator=generator).to(dtype)
    weight = torch.randn((48, 64), generator=generator).to(dtype)
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        got = torch.ops.mkldnn._linear_pointwise(x, packed, None, "none", [], "")
    except (RuntimeError, AttributeError, NotImplementedError):  # another build of torch
        return False
    want = linear(x.double(), weight.double())
    allowed = 1e-5 if dtype == torch.float32 else 2.0**-7
    return bool(((got.double() - want).abs() <= allowed * (1.0 + want.abs())).all())
