"""A known decoder's forward for sampling on a CPU: a step is one compiled call.

A step of few rows is some hundred small operations, which called one by one take longer than their
arithmetic; here all threads go through all layers together. Where a part of the model has no
compiled form (weights too large to be packed, another activation), layers are called one by one,
and attention to the cache alone is compiled. Prompts go through torch layer by layer, end to end,
without padding. Dims as in `lean`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from heed.models import anatomy as models
from heed.models.anatomy import Anatomy, is_silu, is_tanh_gelu
from heed.models.packed_decoder import LONGEST as LONGEST_DOCUMENT
from heed.models.packed_decoder import WIDEST as WIDEST_HEAD
from heed.models.packed_decoder import reach
from heed.ops.compiled import address
from heed.ops.fused import Documents, Fused, fused
from heed.sampling import kernels
from heed.sampling.kernels import Kernels, Product
from heed.sampling.lean import Prefilled, causal, embedded, finished, in_own_format, turn
from heed.sampling.weights import LayerWeights, Weights

LONGEST = 2**16
"""Tokens of a row's cache: a row's scores stand on the stack."""
VECTOR = 16
"""Numbers of a vector, at most: a row's cache has room for whole ones."""
PRODUCTS = ("projections", "output", "up", "down")


class CompiledDecoder:
    """The decoder, with a cache of `slots` rows of `capacity` tokens, by `decoders.Decoder`."""

    def __init__(
        self, anatomy: Anatomy, weights: Weights, own: Kernels, steps: Fused,
        slots: int, capacity: int,
    ) -> None:  # fmt: skip
        self.anatomy, self.weights = anatomy, weights
        self.functions, self.steps = own.functions, steps
        self.device = torch.device("cpu")
        self.slots, self.capacity = slots, -(-capacity // VECTOR) * VECTOR
        self.lengths = torch.zeros(slots, dtype=torch.long)
        self.table = anatomy.rotary_table(capacity)
        self.cache: list[tuple[Tensor, Tensor]] = []
        """Keys and values of each layer; nothing is read but what was written."""
        for layer in anatomy.layers:
            size = slots, layer.attention.key_heads, layer.attention.width * self.capacity
            keys, values = (torch.empty(size, dtype=weights.dtype) for _ in range(2))
            self.cache.append((keys, values))
        self.whole = _whole(anatomy, weights)
        """Whether a step is one call."""
        self._between = max(map(_between, weights.layers)) if self.whole else 0
        self._kept: list[Tensor] = []
        self._decoder = self._described()
        self._this = ctypes.byref(self._decoder)

    def _described(self) -> kernels.Decoder:
        """The decoder for compiled code; what it points to is kept here and in the weights."""
        each = zip(self.anatomy.layers, self.weights.layers, self.cache, strict=True)
        layers = [_described(layer, own, cache, self._kept) for layer, own, cache in each]
        cosines, sines = self.table or (None, None)
        return kernels.Decoder(
            layers=(kernels.Layer * len(layers))(*layers),
            count=len(layers),
            hidden=self.anatomy.hidden,
            capacity=self.capacity,
            norm=_norm(self.anatomy.norm, self._kept),
            head=_linear(self.weights.head),
            cosines=address(cosines),
            sines=address(sines),
        )

    def prefill(self, prompt_ids: Sequence[list[int]]) -> Prefilled:
        """Run P prompts through the model, their N tokens end to end. Of each layer are kept keys,
        which are not turned yet, and values, [N, 2 K, W], and where prompts start.
        """
        with in_own_format(self.device):
            return self._prefill(prompt_ids)

    def _prefill(self, prompt_ids: Sequence[list[int]]) -> Prefilled:
        lengths = [len(ids) for ids in prompt_ids]
        turned, straight = Documents.of(lengths, self.table), Documents.of(lengths)
        last = turned.starts[1:] - 1
        ids = torch.tensor([token for prompt in prompt_ids for token in prompt])
        x = embedded(self.anatomy, ids, torch.cat([torch.arange(length) for length in lengths]))
        kept = []
        for layer, own in zip(self.anatomy.layers, self.weights.layers, strict=True):
            heads = _heads(own.attention_norm(x), own, layer.attention)
            documents = turned if layer.attention.rotary else straight
            attended = self._attended(heads, lengths, documents, layer.attention)
            kept.append((heads[:, layer.attention.heads :].contiguous(), documents.starts))
            if len(kept) == len(self.anatomy.layers):  # above it only the next token matters
                x, attended = x[last], attended[last]
            x = finished(x, attended, own)
        return Prefilled(kept, self.weights.head(self.weights.norm(x)), lengths)

    def _attended(
        self,
        heads: Tensor,
        lengths: Sequence[int],
        documents: Documents,
        attention: models.Attention,
    ) -> Tensor:
        """Causal attention within prompts, of heads [N, H + 2 K, W]: [N, H * W].

        The compiled one shares out prompts and key heads. For few of them, and where what a thread
        holds of a prompt would be large, torch's is taken, prompt by prompt.
        """
        shared = len(lengths) * attention.key_heads >= torch.get_num_threads()
        if shared and documents.longest <= LONGEST_DOCUMENT and attention.width <= WIDEST_HEAD:
            return self.steps.attention(heads, documents, reach(attention))
        sizes = [attention.heads, attention.key_heads, attention.key_heads]
        attended = []
        for document in heads.split(list(lengths)):
            query, key, value = document[None].split(sizes, dim=2)
            if attention.rotary and self.table is not None:
                angles = [part[None, : len(document)] for part in self.table]
                query, key = turn(query, *angles), turn(key, *angles)
            query, key, value = (part.transpose(1, 2) for part in (query, key, value))
            attended.append(causal(query, key, value, attention)[0])
        return torch.cat(attended)

    def admit(self, prefilled: Prefilled, index: Sequence[int], first: int) -> Tensor:
        """Put prefilled prompts, an `index` with repeats of N, into slots from `first` on; their
        logits [N, V]. Raises RuntimeError where there is no room for them.
        """
        if first + len(index) > self.slots or max(prefilled.lengths) > self.capacity:
            raise RuntimeError(f"{len(index)} rows from {first} on do not fit into {self.slots}")
        places = torch.tensor(index)
        for place, (heads, starts) in enumerate(prefilled.layers):
            given = (heads, starts, places)
            self.functions.fill(self._this, place, *map(address, given), len(index), first)
        self.lengths[first : first + len(index)] = torch.tensor(prefilled.lengths)[places]
        return prefilled.logits[places]

    def move(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Copy N rows from some slots to as many others."""
        of, to = torch.tensor(sources), torch.tensor(targets)
        lengths = self.lengths[of]
        self.functions.move(self._this, *map(address, (of, to, lengths)), len(lengths))
        self.lengths[to] = lengths

    def step(self, tokens: Tensor) -> Tensor:
        """Put tokens [R] behind the first R rows; logits [R, V] of the next ones. Raises
        RuntimeError where a row has no room for one more.
        """
        at = self.lengths[: len(tokens)]
        if len(at) < len(tokens) or int(at.max()) >= self.capacity:
            raise RuntimeError(f"{len(tokens)} rows do not fit into {self.slots} of the cache")
        x = embedded(self.anatomy, tokens, at)
        logits = self._at_once(x, at) if self.whole else self._by_layers(x, at)
        at += 1
        return logits

    def _at_once(self, x: Tensor, at: Tensor) -> Tensor:
        logits = torch.empty((len(x), self._decoder.head.out), dtype=self.weights.dtype)
        room = torch.empty((len(x), self._between), dtype=self.weights.dtype)
        self.functions.step(self._this, *map(address, (x, at, logits, room)), len(x))
        return logits

    def _by_layers(self, x: Tensor, at: Tensor) -> Tensor:
        layers = zip(self.anatomy.layers, self.weights.layers, strict=True)
        with in_own_format(self.device):
            for place, (layer, own) in enumerate(layers):
                heads = _heads(own.attention_norm(x), own, layer.attention)
                attended = heads.new_empty((len(x), layer.attention.heads * heads.shape[2]))
                given = (heads, at, attended)
                self.functions.attend(self._this, place, *map(address, given), len(x))
                x = finished(x, attended, own)
            return self.weights.head(self.weights.norm(x))


def compiled_decoder(
    anatomy: Anatomy, weights: Weights, slots: int, capacity: int
) -> CompiledDecoder | None:
    """The compiled decoder; None where nothing is compiled for the weights' format and device, or
    where one table of angles does not do for all layers.
    """
    steps = fused(weights.dtype, anatomy.embedding.weight.device)
    if weights.compiled is None or steps is None or capacity > LONGEST:
        return None
    if len({layer.attention.width for layer in anatomy.layers if layer.attention.rotary}) > 1:
        return None
    return CompiledDecoder(anatomy, weights, weights.compiled, steps, slots, capacity)


def _heads(x: Tensor, own: LayerWeights, attention: models.Attention) -> Tensor:
    """Heads [N, H + 2 K, W] of normed rows, queries and keys through their own norms. Raises
    RuntimeError where there are not so many.
    """
    sizes = [attention.heads, attention.key_heads, attention.key_heads]
    heads = own.projections(x).view(len(x), sum(sizes), attention.width)
    if own.head_norms is None:
        return heads
    query, key, value = heads.split(sizes, dim=1)
    return torch.cat((own.head_norms[0](query), own.head_norms[1](key), value), dim=1)


def _whole(anatomy: Anatomy, weights: Weights) -> bool:
    """Whether all layers and the head are compiled, and have the sizes that compiled code goes by:
    an anatomy is read, not verified.
    """
    each, hidden = zip(anatomy.layers, weights.layers, strict=True), anatomy.hidden
    return (
        all(_compiled(layer, own, hidden) for layer, own in each)
        and isinstance(weights.head, Product)
        and {weights.head.inputs, anatomy.embedding.embedding_dim} == {hidden}
        and _size(anatomy.norm) == hidden
    )


def _compiled(layer: models.Layer, own: LayerWeights, hidden: int) -> bool:
    attention, mlp, gated = layer.attention, layer.mlp, layer.mlp.gate is not None
    products = [part for name in PRODUCTS if isinstance(part := getattr(own, name), Product)]
    active = is_silu(mlp.activation) if gated else is_tanh_gelu(mlp.activation)
    if len(products) < len(PRODUCTS) or not active:
        return False
    width, heads, key_heads = attention.width, attention.heads, attention.key_heads
    inner = products[-1].inputs
    sizes = [(product.inputs, product.outputs) for product in products]
    of_heads = (None, None) if own.head_norms is None else (width, width)
    return (
        sizes
        == [
            (hidden, (heads + 2 * key_heads) * width),
            (heads * width, hidden),
            (hidden, (1 + gated) * inner),
            (inner, hidden),
        ]
        and (_size(layer.attention_norm), _size(layer.mlp_norm)) == (hidden, hidden)
        and (_size(attention.query_norm), _size(attention.key_norm)) == of_heads
        and heads % key_heads == 0
    )


def _described(
    layer: models.Layer, own: LayerWeights, cache: tuple[Tensor, Tensor], kept: list[Tensor]
) -> kernels.Layer:
    attention = layer.attention
    keys, values = map(address, cache)
    return kernels.Layer(
        attention_norm=_norm(layer.attention_norm, kept),
        query_norm=_norm(attention.query_norm, kept),
        key_norm=_norm(attention.key_norm, kept),
        mlp_norm=_norm(layer.mlp_norm, kept),
        **{name: _linear(getattr(own, name)) for name in PRODUCTS},
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


def _linear(operation: Any) -> kernels.Linear:
    """A linear layer for compiled code; an empty one where it is called by torch."""
    return operation.linear if isinstance(operation, Product) else kernels.Linear()


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


def _size(norm: models.Norm | None) -> int | None:
    if norm is None:
        return None
    module: Any = norm.module
    size: int = module.weight.numel()
    return size


def _between(own: LayerWeights) -> int:
    """Numbers of a row that stand between products of a layer that is compiled."""
    products: list[Any] = [getattr(own, name) for name in PRODUCTS]
    projections, output, up, down = products
    normed = projections.inputs
    total: int = normed + projections.outputs + output.inputs + up.outputs + down.inputs
    return total
