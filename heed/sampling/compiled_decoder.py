"""A known decoder's forward for sampling on a CPU: a step is one compiled call.

A step of few rows is some hundred small operations, which called one by one take longer than their
arithmetic; here all threads go through all layers together. Prompts go through torch layer by
layer, end to end, without padding. Dims as in `lean`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from heed.models import anatomy as models
from heed.models.anatomy import Anatomy, is_silu, is_tanh_gelu
from heed.ops.fused import Documents, Fused, Reach, fused
from heed.sampling import kernels
from heed.sampling.kernels import Product, address
from heed.sampling.lean import Prefilled, embedded, finished, in_own_format
from heed.sampling.weights import LayerWeights, Weights

LONGEST = 2**16
"""Tokens of a row's cache: a row's scores stand on the stack."""
WIDEST = 16
"""Numbers of a vector: a row's cache has room for whole ones."""


class CompiledDecoder:
    """The decoder, with a cache of `slots` rows of `capacity` tokens, by `decoders.Decoder`."""

    def __init__(
        self, anatomy: Anatomy, weights: Weights, given: _Given, slots: int, capacity: int
    ) -> None:
        self.anatomy, self.weights, self.given = anatomy, weights, given
        self.device = torch.device("cpu")
        self.lengths = torch.zeros(slots, dtype=torch.long)
        self.table = anatomy.rotary_table(capacity)
        room = -(-capacity // WIDEST) * WIDEST
        cosines, sines = self.table or (None, None)
        self.cache: list[Tensor] = []
        """Keys and values of each layer; nothing is read but what was written."""
        self._kept: list[Tensor] = []
        layers = []
        for layer, products in zip(anatomy.layers, given.layers, strict=True):
            size = slots, layer.attention.key_heads, layer.attention.width * room
            both = [torch.empty(size, dtype=weights.dtype) for _ in range(2)]
            self.cache += both
            layers.append(_described(layer, products, both, self._kept))
        self._layers = (kernels.Layer * len(layers))(*layers)
        self._decoder = kernels.Decoder(
            layers=self._layers,
            count=len(layers),
            hidden=anatomy.hidden,
            capacity=room,
            norm=_norm(anatomy.norm, self._kept),
            head=given.head.linear,
            cosines=address(cosines),
            sines=address(sines),
        )
        self._this = ctypes.byref(self._decoder)
        self._between = anatomy.hidden + max(map(_between, given.layers))

    def prefill(self, prompt_ids: Sequence[list[int]]) -> Prefilled:
        """Run P prompts through the model, their N tokens end to end. Of each layer are kept keys,
        which are not turned yet, and values, [N, 2 K, W], and where prompts start.
        """
        with in_own_format(self.device):
            return self._prefill(prompt_ids)

    def _prefill(self, prompt_ids: Sequence[list[int]]) -> Prefilled:
        lengths = [len(ids) for ids in prompt_ids]
        turned, plain = Documents.of(lengths, self.table), Documents.of(lengths)
        at = torch.cat([torch.arange(length) for length in lengths])
        last = turned.starts[1:] - 1
        x = embedded(self.anatomy, torch.tensor([token for ids in prompt_ids for token in ids]), at)
        kept = []
        for layer, own in zip(self.anatomy.layers, self.weights.layers, strict=True):
            attention = layer.attention
            heads = own.projections(own.attention_norm(x)).view(len(x), -1, attention.width)
            heads = _normed(heads, own, attention)
            attended = self.given.fused.attention(
                heads, turned if attention.rotary else plain, _reach(attention)
            )
            kept.append((heads[:, attention.heads :].contiguous(), turned.starts))
            if len(kept) == len(self.anatomy.layers):  # above it only the next token matters
                x, attended = x[last], attended[last]
            x = finished(x, attended, own)
        logits = self.weights.head(self.weights.norm(x))
        return Prefilled(kept, logits, lengths)

    def admit(self, prefilled: Prefilled, index: Sequence[int], first: int) -> Tensor:
        """Put prefilled prompts, an `index` with repeats of N, into slots from `first` on; their
        logits [N, V].
        """
        places = torch.tensor(index)
        for place, (heads, starts) in enumerate(prefilled.layers):
            self.given.functions.fill(
                self._this, place, address(heads), address(starts), address(places),
                len(index), first,
            )  # fmt: skip
        self.lengths[first : first + len(index)] = torch.tensor(prefilled.lengths)[places]
        return prefilled.logits[places]

    def move(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Copy N rows from some slots to as many others."""
        of, to = torch.tensor(sources), torch.tensor(targets)
        lengths = self.lengths[of]
        self.given.functions.move(
            self._this, address(of), address(to), address(lengths), len(lengths)
        )
        self.lengths[to] = lengths

    def step(self, tokens: Tensor) -> Tensor:
        """Put tokens [R] behind the first R rows; logits [R, V] of the next ones."""
        rows, dtype = len(tokens), self.weights.dtype
        at = self.lengths[:rows]
        x = embedded(self.anatomy, tokens, at)
        logits = torch.empty((rows, self.given.head.outputs), dtype=dtype)
        room = torch.empty((rows, self._between), dtype=dtype)
        self.given.functions.step(
            self._this, address(x), address(at), address(logits), address(room), rows
        )
        at += 1
        return logits


@dataclass(frozen=True, eq=False)
class _Given:
    """What of a decoder's weights is compiled: projections, output, up, down of every layer, and
    the head.
    """

    layers: Sequence[tuple[Product, ...]]
    head: Product
    fused: Fused
    functions: Any


def compiled_decoder(
    anatomy: Anatomy, weights: Weights, slots: int, capacity: int
) -> CompiledDecoder | None:
    """The compiled decoder; None where a part of it is not compiled."""
    steps = fused(weights.dtype, anatomy.embedding.weight.device)
    if weights.compiled is None or steps is None or capacity > LONGEST:
        return None
    layers = [
        _products(layer, own) for layer, own in zip(anatomy.layers, weights.layers, strict=True)
    ]
    known = [products for products in layers if products is not None]
    if len(known) < len(layers) or not isinstance(weights.head, Product):
        return None
    given = _Given(known, weights.head, steps, weights.compiled.functions)
    return CompiledDecoder(anatomy, weights, given, slots, capacity)


def _products(layer: models.Layer, own: LayerWeights) -> tuple[Product, ...] | None:
    """A layer's products where all of the layer is compiled."""
    attention, mlp = layer.attention, layer.mlp
    active = is_tanh_gelu(mlp.activation) if mlp.gate is None else is_silu(mlp.activation)
    if not active or (attention.query_norm is None) != (attention.key_norm is None):
        return None
    parts = (own.projections, own.output, own.up, own.down)
    products = tuple(part for part in parts if isinstance(part, Product))
    return products if len(products) == len(parts) else None


def _described(
    layer: models.Layer, products: Sequence[Product], cache: Sequence[Tensor], kept: list[Tensor]
) -> kernels.Layer:
    attention = layer.attention
    projections, output, up, down = (product.linear for product in products)
    keys, values = map(address, cache)
    return kernels.Layer(
        attention_norm=_norm(layer.attention_norm, kept),
        query_norm=_norm(attention.query_norm, kept),
        key_norm=_norm(attention.key_norm, kept),
        mlp_norm=_norm(layer.mlp_norm, kept),
        projections=projections,
        output=output,
        up=up,
        down=down,
        keys=keys,
        values=values,
        query_heads=attention.heads,
        key_heads=attention.key_heads,
        width=attention.width,
        window=attention.window or 0,
        rotary=attention.rotary,
        gated=layer.mlp.gate is not None,
        scale=attention.scale,
    )


def _between(products: Sequence[Product]) -> int:
    """Numbers of a row that stand between a layer's products."""
    projections, output, up, down = products
    return projections.outputs + output.inputs + up.outputs + down.inputs


def _norm(norm: models.Norm | None, kept: list[Tensor]) -> kernels.Norm:
    """A norm whose weights are kept alive in a list."""
    if norm is None:
        return kernels.Norm()
    module: Any = norm.module
    weight, offset = module.weight, getattr(module, "bias", None)
    both = [
        None if part is None else part.detach().float().contiguous() for part in (weight, offset)
    ]
    kept += [part for part in both if part is not None]
    return kernels.Norm(*map(address, both), not norm.root_mean_square, norm.epsilon)


def _normed(heads: Tensor, own: LayerWeights, attention: models.Attention) -> Tensor:
    """Heads [N, H + 2 K, W] whose queries and keys have gone through their norms."""
    if own.head_norms is None:
        return heads
    sizes = [attention.heads, attention.key_heads, attention.key_heads]
    query, key, value = heads.split(sizes, dim=1)
    return torch.cat((own.head_norms[0](query), own.head_norms[1](key), value), dim=1)


def _reach(attention: models.Attention) -> Reach:
    return Reach(attention.heads, attention.key_heads, attention.scale, attention.window)
