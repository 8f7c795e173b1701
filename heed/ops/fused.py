"""What stands between a layer's matrix products, compiled for a CPU, forward and backward.

Attention of documents that stand end to end (with rotary positions inside), the residual sum with
its RMSNorm, and the gate of an MLP. Matrices have the format of computation (float32, or bfloat16
under autocast); the residual stream, weights of norms and all sums are float32.

Dims: N tokens, H query heads, K key heads, W the width of a head, D hidden width, F inner width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from heed.ops.compiled import COUNT, NUMBER, POINTER, address, compiled

SOURCE = Path(__file__).with_name("fused.c")
_REACH = (*[COUNT] * 5, NUMBER, COUNT)
SIGNATURE = (
    ("attention", (*[POINTER] * 6, *_REACH), COUNT),
    ("attention_back", (*[POINTER] * 7, *_REACH), COUNT),
    ("add_norm", (*[POINTER] * 6, COUNT, COUNT, NUMBER), None),
    ("add_norm_back", (*[POINTER] * 8, COUNT, COUNT, COUNT), None),
    ("gated", (POINTER, POINTER, COUNT, COUNT), None),
    ("gated_back", (POINTER, POINTER, POINTER, COUNT, COUNT), None),
)
PARTS = 16
"""Pieces of the tokens in which gradients of norms' weights are summed."""


@dataclass(frozen=True, eq=False)
class Documents:
    """Where documents of a row begin and end, and how places in them turn queries and keys."""

    starts: Tensor
    """[documents + 1], int64."""
    longest: int
    cosines: Tensor | None = None
    """[longest, W], float32; none: nothing is turned."""
    sines: Tensor | None = None
    """With rotate_half's sign in the first half."""

    @classmethod
    def of(cls, lengths: Sequence[int], table: tuple[Tensor, Tensor] | None = None) -> Documents:
        starts = torch.tensor([0, *lengths]).cumsum(0)
        return cls(starts, max(lengths), *(table or (None, None)))


@dataclass(frozen=True, eq=False)
class Reach:
    """How queries of a layer are grouped and what they see: the last `window` tokens, or all."""

    query_heads: int
    key_heads: int
    scale: float
    window: int | None = None


@dataclass(frozen=True, eq=False)
class Fused:
    """The compiled functions for one format of computation; tensors are contiguous, on the CPU."""

    functions: Any
    dtype: torch.dtype

    def attention(self, heads: Tensor, documents: Documents, reach: Reach) -> Tensor:
        """Causal attention within documents, of heads [N, H + 2 K, W]: [N, H * W]."""
        attended: Tensor = _Attention.apply(heads.contiguous(), documents, reach, self.functions)  # type: ignore[no-untyped-call]
        return attended

    def add_norm(
        self, x: Tensor, delta: Tensor, weight: Tensor, epsilon: float
    ) -> tuple[Tensor, Tensor]:
        """x + delta and its RMSNorm, from x [N, D] and delta [N, D]."""
        both: tuple[Tensor, Tensor] = _AddNorm.apply(  # type: ignore[no-untyped-call]
            x, delta.contiguous(), weight, epsilon, self.functions
        )
        return both

    def norm(self, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        """RMSNorm of x [..., D]."""
        if not torch.is_grad_enabled():
            return _normed(self.functions, x.contiguous(), weight, epsilon, self.dtype, None)
        normed: Tensor = _Norm.apply(x, weight, epsilon, self.dtype, self.functions)  # type: ignore[no-untyped-call]
        return normed

    def gated(self, x: Tensor) -> Tensor:
        """silu(gate) * up of x [..., 2 F], gate first: [..., F]."""
        if not torch.is_grad_enabled():  # decoding calls it often, on few rows
            return _gated(self.functions, x.contiguous())
        out: Tensor = _Gated.apply(x.contiguous(), self.functions)  # type: ignore[no-untyped-call]
        return out


def fused(dtype: torch.dtype, device: torch.device) -> Fused | None:
    """The compiled functions, or None where there are none for that format and device."""
    functions = compiled([SOURCE], SIGNATURE, dtype, device)
    return None if functions is None else Fused(functions, dtype)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, heads: Tensor, documents: Documents, reach: Reach, functions: Any
    ) -> Tensor:
        tokens, _, width = heads.shape
        out = heads.new_empty((tokens, reach.query_heads * width))
        normalisers = torch.empty((tokens, reach.query_heads), dtype=torch.float32)
        given = (heads, documents.starts, documents.cosines, documents.sines, out, normalisers)
        _enough(functions.attention(*map(address, given), *_sizes(documents, reach, width)))
        ctx.save_for_backward(heads, normalisers)
        ctx.documents, ctx.reach, ctx.functions = documents, reach, functions
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, pull: Tensor) -> tuple[Tensor | None, ...]:
        heads, normalisers = ctx.saved_tensors
        documents = ctx.documents
        gradient = torch.empty_like(heads)
        pull = pull.contiguous()
        given = (
            heads, documents.starts, documents.cosines, documents.sines, normalisers, pull, gradient
        )  # fmt: skip
        sizes = _sizes(documents, ctx.reach, heads.shape[2])
        _enough(ctx.functions.attention_back(*map(address, given), *sizes))
        return gradient, None, None, None


class _AddNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, delta: Tensor, weight: Tensor, epsilon: float, functions: Any
    ) -> tuple[Tensor, Tensor]:
        total, out = torch.empty_like(x), torch.empty_like(delta)
        factors = x.new_empty(len(x))
        given = (x, delta, weight, total, out, factors)
        functions.add_norm(*map(address, given), *x.shape, epsilon)
        ctx.save_for_backward(total, factors, weight)
        ctx.functions = functions
        ctx.set_materialize_grads(False)
        return total, out

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, further: Tensor | None, pull: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        total, factors, weight = ctx.saved_tensors
        assert pull is not None, "what is normed is used"
        rounded = None if pull.dtype == total.dtype else torch.empty_like(pull)
        of_sum, of_weight = _norm_back(
            ctx.functions, total, factors, weight, pull, further, rounded
        )
        return of_sum, of_sum if rounded is None else rounded, of_weight, None, None


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, epsilon: float, dtype: torch.dtype, functions: Any
    ) -> Tensor:
        x = x.contiguous()
        factors = x.new_empty(x.numel() // x.shape[-1])
        out = _normed(functions, x, weight, epsilon, dtype, factors)
        ctx.save_for_backward(x, factors, weight)
        ctx.functions = functions
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, pull: Tensor) -> tuple[Tensor | None, ...]:
        x, factors, weight = ctx.saved_tensors
        of_x, of_weight = _norm_back(ctx.functions, x, factors, weight, pull, None, None)
        return of_x, of_weight, None, None, None


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, functions: Any) -> Tensor:
        ctx.save_for_backward(x)
        ctx.functions = functions
        return _gated(functions, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, pull: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        gradient, width, pull = torch.empty_like(x), x.shape[-1] // 2, pull.contiguous()
        ctx.functions.gated_back(
            address(x), address(pull), address(gradient), pull.numel() // width, width
        )
        return gradient, None


def _normed(
    functions: Any,
    x: Tensor,
    weight: Tensor,
    epsilon: float,
    dtype: torch.dtype,
    factors: Tensor | None,
) -> Tensor:
    out = torch.empty(x.shape, dtype=dtype)
    rows, width = x.numel() // x.shape[-1], x.shape[-1]
    given = (x, None, weight, None, out, factors)
    functions.add_norm(*map(address, given), rows, width, epsilon)
    return out


def _gated(functions: Any, x: Tensor) -> Tensor:
    width = x.shape[-1] // 2
    out = x.new_empty((*x.shape[:-1], width))
    functions.gated(address(x), address(out), out.numel() // width, width)
    return out


def _norm_back(
    functions: Any,
    x: Tensor,
    factors: Tensor,
    weight: Tensor,
    pull: Tensor,
    further: Tensor | None,
    rounded: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Gradients of what was normed (`rounded` takes it in half precision) and of the weight."""
    pull = pull.contiguous()
    further = None if further is None else further.contiguous()
    of_x = torch.empty_like(x)
    of_weight = weight.new_empty((PARTS, len(weight)))
    given = (x, factors, weight, pull, further, of_x, rounded, of_weight)
    functions.add_norm_back(*map(address, given), factors.numel(), len(weight), PARTS)
    return of_x, of_weight.sum(0)


def _sizes(documents: Documents, reach: Reach, width: int) -> tuple[int | float, ...]:
    count = len(documents.starts) - 1
    return (
        count, documents.longest, reach.query_heads, reach.key_heads, width, reach.scale,
        reach.window or 0,
    )  # fmt: skip


def _enough(done: int) -> None:
    if not done:
        raise MemoryError("attention has no memory for a document's keys and values")
