"""Attention over several documents that stand end to end in one row, none of which sees another.

A document attends to itself alone, and its positions start at 0 (`Packed`). Each has an attention
of its own: a mask over the whole row would cost the square of all tokens, where this costs the sum
of the squares. On a GPU in half precision one kernel does that for all documents (`varlen`).
Nothing else in a transformer mixes tokens, and what does is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

from heed.errors import UserError
from heed.models.device import format_of
from heed.models.modes import evaluating
from heed.models.varlen import Documents, serves, together

NAME = "heed_documents"
PLAIN = "sdpa"
"""The attention that ours computes document by document."""
_PACKS: WeakKeyDictionary[nn.Module, dict[torch.dtype | None, bool]] = WeakKeyDictionary()
"""What was found out of a module, and of each transformer in it, by the format of computation on a
GPU: once its weights are sharded it cannot be."""


def by_document(
    _module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _attention_mask: None,
    *,
    documents: Documents,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **_others: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each document: [1, H, N, D] in, [1, N, H, D] out.

    By one kernel where there is one, else one by one. On a CPU half precision is raised to float32:
    the backward of the kernel for half precision takes three to five times as long as float32's
    there.
    """
    if not dropout:
        scale, window = scaling, sliding_window
        attended = together(query, key, value, documents, scale=scale, window=window)
        if attended is not None:
            return attended, None
    given = query.dtype
    if query.device.type == "cpu":
        query, key, value = query.float(), key.float(), value.float()
    parts = [tensor.split(list(documents.lengths), dim=2) for tensor in (query, key, value)]
    outputs = [
        scaled_dot_product_attention(
            q,
            k,
            v,
            **_reach(q, sliding_window),
            dropout_p=dropout,
            scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        for q, k, v in zip(*parts, strict=True)
    ]
    return torch.cat(outputs, dim=2).transpose(1, 2).to(given), None


AttentionInterface.register(NAME, by_document)


def _reach(query: Tensor, window: int | None) -> dict[str, Any]:
    """What a token sees of its document: all before it, or the last `window` tokens of it."""
    length = query.shape[2]
    if window is None or window >= length:
        return {"is_causal": True}
    ones = torch.ones(length, length, dtype=torch.bool, device=query.device)
    return {"attn_mask": ones.tril() & ~ones.tril(-window)}


@contextmanager
def documents_apart(model: Any) -> Iterator[None]:
    """Within, `model(..., documents=...)` keeps the documents of its one row apart."""
    own = model.config._attn_implementation
    model.config._attn_implementation = NAME
    try:
        yield
    finally:
        model.config._attn_implementation = own


def packs(module: nn.Module) -> bool:
    """Whether forward passes through a module's transformers take packed rows unasked.

    Where `check_packing` finds nothing against any of them, and on a GPU in the format of now one
    kernel attends to all documents (an attention a document is many small kernels, so without one
    it has to be asked for); found out once each.
    """
    known, dtype = _PACKS.setdefault(module, {}), _told_apart(module)
    if dtype not in known:
        bodies = [
            part
            for part in module.modules()
            if isinstance(part, PreTrainedModel) and part.base_model is part
        ]
        known[dtype] = (
            _packs(module) if bodies == [module] else bool(bodies) and all(map(packs, bodies))
        )
    return known[dtype]


def _told_apart(module: nn.Module) -> torch.dtype | None:
    """The format that a forward would compute in now, where it makes a difference."""
    weight = next(module.parameters(), None)
    if weight is None or weight.device.type == "cpu":
        return None
    return format_of(weight.device, weight.dtype)


def _packs(body: Any) -> bool:
    dtype = _told_apart(body)
    try:
        if dtype is not None and not serves(body.config, body.device, dtype):
            return False
        with evaluating(body):
            check_packing(body)
    except (UserError, ValueError, RuntimeError, LookupError, AttributeError):
        return False  # an encoder, or a kind that wants more than ids: nobody asked for packing
    return True


@torch.no_grad()
def check_packing(model: Any) -> None:
    """Raise UserError unless this model gives packed documents what it gives each one alone.

    Found out by a forward of two documents: a layer that mixes tokens otherwise (a recurrence, a
    convolution) carries the first over into the second.
    """
    kind = model.config.model_type
    refusal = f"packing: {kind!r} models cannot be packed: {{}} Set packing: false."
    if model.config._attn_implementation != PLAIN:
        raise UserError(refusal.format("their attention is not plain scaled dot products."))
    lengths = [3, 5]
    ids = torch.arange(sum(lengths), device=model.device)[None] % model.config.vocab_size
    positions = torch.cat([torch.arange(length) for length in lengths])[None].to(model.device)
    with torch.autocast(model.device.type, enabled=False):
        alone = [
            model(input_ids=part, use_cache=False).last_hidden_state
            for part in ids.split(lengths, dim=1)
        ]
        try:
            with documents_apart(model):
                packed = model(
                    input_ids=ids,
                    position_ids=positions,
                    use_cache=False,
                    documents=Documents(lengths, model.device),
                ).last_hidden_state
        except TypeError as error:
            raise UserError(refusal.format("they do not take documents.")) from error
    if not torch.allclose(packed, torch.cat(alone, dim=1), rtol=1e-4, atol=1e-4):
        raise UserError(refusal.format("one document would be seen by the next."))
