"""A known decoder's weights as one call of the sampler uses them: fused, cast, packed.

Query, key and value are one product, and so are gate and up. These are copies, made anew for
every call, for the weights may train in between; a model too large to be copied lends its own.
Adapters of LoRA are added to the copy; any other layer that stands where a linear one is expected
is called as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear, rms_norm
from transformers.pytorch_utils import Conv1D

from heed.models.anatomy import Anatomy, Layer, Mlp, Norm, is_silu
from heed.models.linears import prepared, side_by_side
from heed.ops.fused import Fused, fused
from heed.sampling.kernels import Kernels, kernels

Operation = Callable[[Tensor], Tensor]

LARGEST_COPY = 2**32
"""Bytes of weights up to which a call makes copies."""


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """One layer's operations on rows [R, ...] in the format of computation."""

    attention_norm: Operation
    projections: Operation
    """[R, hidden] -> [R, (heads + 2 key_heads) * width]."""
    head_norms: tuple[Operation, Operation] | None
    """Of queries and keys, over the last dimension."""
    output: Operation
    mlp_norm: Operation
    up: Operation
    """[R, hidden] -> [R, 2 * inner], gate first; without a gate [R, inner]."""
    activation: Operation
    """What `up` gave -> [R, inner]."""
    down: Operation


@dataclass(frozen=True, eq=False)
class Weights:
    """All of a decoder's operations, their format, and the compiled functions if there are any."""

    layers: tuple[LayerWeights, ...]
    norm: Operation
    head: Operation
    dtype: torch.dtype
    compiled: Kernels | None


@torch.no_grad()
def weights(anatomy: Anatomy, dtype: torch.dtype) -> Weights:
    """The weights of a decoder with a head as they are now, for computing in `dtype`."""
    assert anatomy.head is not None, "a sampler needs the head"
    size = sum(weight.numel() for weight in anatomy.backbone.parameters())
    copies = size * dtype.itemsize <= LARGEST_COPY
    device = anatomy.embedding.weight.device
    steps, products = fused(dtype, device), kernels(dtype, device)
    linears = _Linears(dtype, products if copies else None, copies)
    return Weights(
        layers=tuple(_layer(layer, dtype, linears, steps) for layer in anatomy.layers),
        norm=_norm(anatomy.norm, dtype, steps),
        head=linears([anatomy.head]),
        dtype=dtype,
        compiled=products,
    )


def _layer(
    layer: Layer, dtype: torch.dtype, linears: _Linears, compiled: Fused | None
) -> LayerWeights:
    attention, mlp = layer.attention, layer.mlp
    norms = None
    if attention.query_norm is not None and attention.key_norm is not None:
        norms = (_norm(attention.query_norm, dtype), _norm(attention.key_norm, dtype))
    return LayerWeights(
        attention_norm=_norm(layer.attention_norm, dtype, compiled),
        projections=linears(attention.projections),
        head_norms=norms,
        output=linears([attention.output]),
        mlp_norm=_norm(layer.mlp_norm, dtype, compiled),
        up=linears([mlp.up] if mlp.gate is None else [mlp.gate, mlp.up]),
        activation=_activation(mlp, compiled),
        down=linears([mlp.down]),
    )


def _activation(mlp: Mlp, compiled: Fused | None) -> Operation:
    if mlp.gate is None:
        return mlp.activation
    if compiled is not None and is_silu(mlp.activation):
        return compiled.gated

    def gated(x: Tensor) -> Tensor:
        gate, up = x.chunk(2, dim=-1)
        return mlp.activation(gate) * up

    return gated


def _norm(norm: Norm, dtype: torch.dtype, compiled: Fused | None = None) -> Operation:
    """Computed in float32 whatever comes in; what goes out has the format of computation.

    A compiled one takes the residual stream, which is float32.
    """
    module: Any = norm.module
    weight = module.weight.detach().float().contiguous()
    shape, epsilon = tuple(weight.shape), norm.epsilon
    if norm.root_mean_square and compiled is not None:
        return lambda x: compiled.norm(x, weight, epsilon)
    if norm.root_mean_square:
        return lambda x: rms_norm(x.float(), shape, weight, epsilon).to(dtype)
    offset = None if module.bias is None else module.bias.detach().float()
    return lambda x: layer_norm(x.float(), shape, weight, offset, epsilon).to(dtype)


@dataclass(frozen=True)
class _Linears:
    """Linear layers side by side as one operation in one format: a copy that is packed for compiled
    products or for oneDNN's, or the weights as they are.
    """

    dtype: torch.dtype
    compiled: Kernels | None
    copies: bool

    def __call__(self, modules: Sequence[nn.Module]) -> Operation:
        parts = [_linear(module) for module in modules]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return lambda x: torch.cat([_called(module, x) for module in modules], dim=-1)
        if self.compiled is not None and (product := self.compiled.product(known)) is not None:
            return product
        cast = [
            (weight.to(self.dtype), None if bias is None else bias.to(self.dtype))
            for weight, bias in known
        ]
        if not self.copies:
            return lambda x: torch.cat([linear(x, weight, bias) for weight, bias in cast], dim=-1)
        return prepared(*side_by_side(cast))


def _called(module: nn.Module, x: Tensor) -> Tensor:
    own = next(iter(module.parameters())).dtype
    output: Tensor = module(x.to(own))
    return output.to(x.dtype)


def _linear(module: Any) -> tuple[Tensor, Tensor | None] | None:
    """The weight [out, in] and the bias that a module applies; None where it does anything else."""
    kind = type(module)
    if kind is LoraLinear:
        return _with_adapters(module)
    if kind not in (nn.Linear, Conv1D):
        return None
    weight = module.weight.detach()
    bias = None if module.bias is None else module.bias.detach()
    return weight if kind is nn.Linear else weight.t(), bias


def _with_adapters(module: Any) -> tuple[Tensor, Tensor | None] | None:
    """The base's weight with what plain LoRA adds to it, W + scale * B A."""
    base = _linear(module.get_base_layer())
    if base is None or module.merged:
        return None
    weight, bias = base
    active = [name for name in module.active_adapters if name in module.lora_A]
    if module.disable_adapters or not active:
        return weight, bias
    for name in active:
        up, down = module.lora_B[name], module.lora_A[name]
        unlike = name in module.lora_variant or {type(up), type(down)} != {nn.Linear}
        if unlike or module.lora_bias[name]:
            return None
        delta = (up.weight.float() @ down.weight.float()) * module.scaling[name]
        weight = (weight.float() + delta).to(weight.dtype)
    return weight, bias
