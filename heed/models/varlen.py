"""Attention of all documents of a row by one kernel, where torch has one: on a GPU in half
precision.

It is FlashAttention's for sequences of various lengths (Dao 2023, arXiv:2307.08691), as torch has
it in `torch.nn.attention.varlen`. It knows neither dropout nor other devices and formats; which
widths of heads it takes, and whether it means by a window what we do, is found out when heads of a
kind are first seen: by a probe of its output and its gradients.

Dims: N tokens of all documents, H query heads, K key heads, W the width of a head.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from heed.models.device import format_of

log = logging.getLogger("heed.varlen")

HALF = frozenset({torch.bfloat16, torch.float16})
"""The formats that FlashAttention computes in."""
AGREEMENT = {torch.bfloat16: 2.0**-5, torch.float16: 2.0**-8}
"""How far the kernel's output and gradients may lie from float32's, as a share of the largest.
What a neighbour's token or one at a window's edge would move is ten times as much."""
EXACTLY = 1e-5
"""The same in any other format."""
PROBE = (70, 1, 37)
"""Tokens of the documents that are tried: more than the kernel's block of 64, and a single one."""
WINDOW = 5
"""Of the probe where there is a window: kernels do not tell short ones from long ones."""

Kernel = Callable[..., Tensor]
Heads = tuple[Tensor, Tensor, Tensor]
"""Queries [N, H, W], keys and values [N, K, W]."""


@dataclass(frozen=True, eq=False)
class Documents:
    """The documents of one row, as attention is told of them: made once a pass."""

    lengths: Sequence[int]
    device: torch.device

    @cached_property
    def starts(self) -> Tensor:
        """Where each begins, and the end, [documents + 1], int32."""
        found = torch.tensor([0, *self.lengths]).cumsum(0).int()
        return found.to(self.device, non_blocking=True)

    @cached_property
    def longest(self) -> int:
        return max(self.lengths)


@dataclass(frozen=True)
class Kind:
    """What a kernel may make a difference of."""

    heads: int
    key_heads: int
    width: int
    windowed: bool
    dtype: torch.dtype
    device: torch.device


def kernel_for(device: torch.device, dtype: torch.dtype) -> Kernel | None:
    """torch's kernel, or None where it has none for that device and format."""
    if device.type != "cuda" or dtype not in HALF:
        return None
    from torch.nn.attention.varlen import varlen_attn

    return cast(Kernel, varlen_attn)


def together(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    documents: Documents,
    *,
    scale: float | None,
    window: int | None,
) -> Tensor | None:
    """Causal attention within documents, heads [1, H, N, W] and [1, K, N, W] to [1, N, H, W], in
    the format of `format_of`; a token sees the last `window` tokens, or all before it.

    None where there is no kernel for that, or it came out differently when it was tried.
    """
    dtype = format_of(query.device, query.dtype)
    kernel = kernel_for(query.device, dtype)
    if kernel is None:
        return None
    heads, width = query.shape[1], query.shape[3]
    kind = Kind(heads, key.shape[1], width, window is not None, dtype, query.device)
    if not agrees(kernel, kind):
        return None
    q, k, v = (part[0].transpose(0, 1).to(dtype) for part in (query, key, value))
    return _attended(kernel, (q, k, v), documents, scale, window)[None]


def serves(config: Any, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the heads of a transformers config are attended to by one kernel."""
    kernel = kernel_for(device, dtype)
    if kernel is None:
        return False
    heads = config.num_attention_heads
    key_heads = getattr(config, "num_key_value_heads", None) or heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    windowed = getattr(config, "sliding_window", None) is not None
    return all(
        agrees(kernel, Kind(heads, key_heads, width, each, dtype, device))
        for each in {False, windowed}
    )


@cache
def agrees(kernel: Kernel, kind: Kind) -> bool:
    """Whether a kernel gives heads of a kind what each document alone gives in float32, and the
    same gradients; found out once.
    """
    given, pull = _tried(kind)
    documents, scale = Documents(PROBE, kind.device), kind.width**-0.5
    window = WINDOW if kind.windowed else None
    with torch.autocast(kind.device.type, enabled=False), torch.enable_grad():
        try:
            half = _leaves(given, kind.dtype)
            ours = _pulled(_attended(kernel, half, documents, scale, window), half, pull)
        except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
            log.warning("documents are attended to one by one, %s: %s", kind, error)
            return False  # such heads or this GPU are not served
        whole = _leaves(given, torch.float32)
        theirs = _pulled(_each(whole, scale, window), whole, pull)
    allowed = AGREEMENT.get(kind.dtype, EXACTLY)
    same = all(
        bool(((one.float() - other).abs() <= allowed * other.abs().max()).all())
        for one, other in zip(ours, theirs, strict=True)
    )
    if not same:
        log.warning("documents are attended to one by one, %s: the kernel differs", kind)
    return same


def _attended(
    kernel: Kernel, heads: Heads, documents: Documents, scale: float | None, window: int | None
) -> Tensor:
    """Heads of documents to [N, H, W]."""
    query, key, value = heads
    starts, longest = documents.starts, documents.longest
    return kernel(
        query,
        key,
        value,
        starts,
        starts,
        longest,
        longest,
        scale=scale,
        # The kernel counts the tokens before one's own; -1: all of them.
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )


def _each(heads: Heads, scale: float, window: int | None) -> Tensor:
    """The same of the probe's documents, one by one, by a mask that says it in full."""
    found = []
    for parts in zip(*(part.split(PROBE) for part in heads), strict=True):
        query, key, value = (part.transpose(0, 1)[None] for part in parts)
        time = query.shape[2]
        seen = torch.ones((time, time), dtype=torch.bool, device=query.device).tril()
        if window is not None:
            seen = seen & ~seen.tril(-window)
        gqa = query.shape[1] != key.shape[1]
        alone = scaled_dot_product_attention(
            query, key, value, attn_mask=seen, scale=scale, enable_gqa=gqa
        )
        found.append(alone[0].transpose(0, 1))
    return torch.cat(found)


def _tried(kind: Kind) -> tuple[Heads, Tensor]:
    """Heads of the probe, and a pull on what comes out, in a kind's format."""
    generator = torch.Generator().manual_seed(0)

    def drawn(count: int) -> Tensor:
        numbers = torch.randn((sum(PROBE), count, kind.width), generator=generator)
        return numbers.to(kind.device, kind.dtype)

    heads = drawn(kind.heads), drawn(kind.key_heads), drawn(kind.key_heads)
    return heads, drawn(kind.heads)


def _leaves(heads: Heads, dtype: torch.dtype) -> Heads:
    query, key, value = (part.detach().to(dtype).requires_grad_() for part in heads)
    return query, key, value


def _pulled(out: Tensor, heads: Heads, pull: Tensor) -> list[Tensor]:
    """Output, and the gradients of the heads under a pull on it."""
    return [out.detach(), *torch.autograd.grad(out, heads, pull.to(out.dtype))]
