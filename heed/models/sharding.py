"""Weights that lie split over the processes that train together (FSDP2).

Every process keeps its part of each weight, of its gradient and of the optimiser's state. A layer's
weights are gathered while it computes, forward and again backward; what stands outside the layers
(embeddings, the last norm, heads) while its model computes: within `within`. A whole copy exists
only where somebody asks for one: to draw answers, to save (`whole`).

Rajbhandari et al. 2020 (arXiv:1910.02054), stage 3; Zhao et al. 2023 (arXiv:2304.11277).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
import torch.distributed as dist
from peft import PeftModel
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import (
    FSDPModule,
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from heed.models.entering import ENTERED
from heed.models.forward import has_plain_head
from heed.models.packing import packs
from heed.ranks import Ranks

Found = TypeVar("Found")
_EMPTY: WeakKeyDictionary[nn.Module, nn.Module] = WeakKeyDictionary()
"""For each sharded model one of the same make without weights."""


def shard(module: nn.Module, *, half: bool = False) -> None:
    """Split a model's weights over the processes, in place; each model of a ModuleDict by itself.
    With one process nothing is changed.

    With `half`, layers are gathered in bfloat16, where autocast would put their matrices anyway;
    weights, sums of gradients and all outside the layers stay float32.
    """
    if Ranks.here().count == 1:
        return
    parts = module.values() if isinstance(module, nn.ModuleDict) else [module]
    for part in parts:
        if next(part.parameters(), None) is not None and not is_sharded(part):
            _shard(part, half=half)


def is_sharded(module: nn.Module) -> bool:
    """Whether weights of a module lie split over processes."""
    return any(isinstance(part, FSDPModule) for part in module.modules())


@contextmanager
def whole(module: Any) -> Iterator[Any]:
    """The model with all its weights for a block: itself, or a copy of a sharded one.

    All processes must come here; each has the copy.
    """
    if module not in _EMPTY:
        yield module
        return
    with _filled(module, keep=True) as copied:
        yield copied


@contextmanager
def whole_in_first(module: Any) -> Iterator[Any]:
    """The same where the first process alone uses the weights: of a sharded model the others get
    one without any, so that none but the first holds it whole.

    All processes must come here.
    """
    if module not in _EMPTY:
        yield module
        return
    with _filled(module, keep=Ranks.here().rank == 0) as copied:
        yield copied


def local(tensor: Tensor) -> Tensor:
    """This process's part of a tensor, in the same memory; all of one that is not split."""
    found: Tensor = tensor._local_tensor if isinstance(tensor, DTensor) else tensor
    return found


def everywhere(tensor: Tensor) -> Tensor:
    """A tensor's whole value, in every process, all of which must come here."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _shard(model: nn.Module, *, half: bool) -> None:
    _ask_first(model)
    _EMPTY[model] = _without_weights(model)
    mesh = _mesh(next(model.parameters()).device)
    full = MixedPrecisionPolicy(cast_forward_inputs=False)
    in_half = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    for layer in _layers(model):
        if half and (norms := _norms(layer)):
            _split(norms, mesh, full)
        _split(layer, mesh, in_half if half else full)
    _split(model, mesh, full)
    setattr(model, ENTERED, _computed)
    register_fsdp_forward_method(model, ENTERED)


def _split(
    part: nn.Module | list[nn.Module], mesh: DeviceMesh, precision: MixedPrecisionPolicy
) -> None:
    fully_shard(part, mesh=mesh, mp_policy=precision, reshard_after_forward=True)
    made: Any = part[0] if isinstance(part, list) else part
    # Heed's terms are sums over all rows that only the trainer divides.
    made.set_gradient_divide_factor(1.0)
    made.set_force_sum_reduction_for_comms(True)


def _norms(layer: nn.Module) -> list[nn.Module]:
    """What autocast leaves in float32: modules whose own weights are vectors."""
    return [
        part
        for part in layer.modules()
        if (own := list(part.parameters(recurse=False))) and all(w.ndim == 1 for w in own)
    ]


@contextmanager
def _filled(module: nn.Module, *, keep: bool) -> Iterator[nn.Module]:
    """The copy of a sharded model, its weights gathered one after the other."""
    copied = _EMPTY[module]
    weights = dict(module.named_parameters())
    try:
        with torch.no_grad():
            for name, place in copied.named_parameters():
                value = everywhere(weights[name].detach())
                if keep:
                    place.data = value
        yield copied
    finally:
        for place in copied.parameters():
            place.data = place.data.new_empty(0)


def _computed(compute: Callable[[], Found]) -> Found:
    return compute()


def _layers(model: nn.Module) -> list[nn.Module]:
    """What a transformer repeats, as its class names it."""
    names = {
        name
        for part in model.modules()
        if isinstance(part, PreTrainedModel)
        for name in part._no_split_modules or ()
    }
    return [part for part in model.modules() if type(part).__name__ in names]


def _ask_first(model: nn.Module) -> None:
    """What is found out by a forward outside `within`, before the weights are split."""
    packs(model)
    inner = model.get_base_model() if isinstance(model, PeftModel) else model
    if isinstance(inner, PreTrainedModel) and inner.get_output_embeddings() is not None:
        has_plain_head(model)


def _without_weights(model: nn.Module) -> nn.Module:
    """A copy whose weights have no memory; it has the same configuration."""
    known: dict[int, Any] = {
        id(weight): nn.Parameter(weight.detach().new_empty(0), weight.requires_grad)
        for weight in model.parameters()
    }
    for part in model.modules():
        if (config := getattr(part, "config", None)) is not None:
            known[id(config)] = config
    return copy.deepcopy(model, known)


def _mesh(device: torch.device) -> DeviceMesh:
    return init_device_mesh(device.type, (dist.get_world_size(),))
