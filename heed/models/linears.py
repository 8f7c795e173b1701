"""Linear layers on a CPU with their weights in oneDNN's own layout, where that is faster.

Not by the precision "medium", which lets oneDNN compute in bfloat16 on processors with AMX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import linear

WORTH_PACKING = {torch.float32: 2**18, torch.bfloat16: 0}
"""Weights from which on oneDNN's own layout is faster (measured on Zen with AVX-512: in float32
1.3 times at 512 x 1536, level at 128 x 768; in bfloat16 1.1 to 2.5 times)."""


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


def side_by_side(parts: Sequence[tuple[Tensor, Tensor | None]]) -> tuple[Tensor, Tensor | None]:
    """Linear layers [out, in] on one input as one: weights end to end, and biases where any layer
    has one, zeros for those that have none. One layer alone is itself.
    """
    if len(parts) == 1:
        return parts[0]
    weight = torch.cat([weight for weight, _ in parts])
    if all(bias is None for _, bias in parts):
        return weight, None
    biases = [weight.new_zeros(len(weight)) if bias is None else bias for weight, bias in parts]
    return weight, torch.cat(biases)


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
