"""Weights that lie split over the processes that train together (FSDP2).

Every process keeps its part of each weight, of its gradient and of the optimiser's state. A layer's
weights are gathered while it computes, forward and again backward; what stands outside the layers
(embeddings, the last norm, heads) while its model computes: within `within`. A whole copy exists
only where somebody asks for one: to draw answers, to save (`whole`).

Rajbhandari et al. 2020 (arXiv:1910.02054), stage 3; Zhao et al. 2023 (arXiv:2304.11277).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
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

from heed.errors import UserError
from heed.models.awaited import Awaited
from heed.models.entering import ENTERED, within
from heed.models.forward import has_plain_head
from heed.models.packing import packs
from heed.models.sound import no_numbers
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


def squared_norm(tensors: Iterable[Tensor]) -> float:
    """The sum of the squares of all numbers, of sharded tensors over all processes, which must all
    come here.
    """
    split, own = torch.zeros(()), 0.0
    for tensor in tensors:
        squares = (local(tensor) ** 2).sum().cpu()
        if isinstance(tensor, DTensor):
            split = split + squares
        else:
            own += float(squares)
    Ranks.here().add([split])
    return own + float(split)


def rows(tensor: Tensor) -> tuple[int, int]:
    """The first of this process's rows of a tensor, and the one after the last. Rows are dealt out
    evenly, the last processes having fewer; all of a tensor that is not split.
    """
    count = tensor.shape[0] if tensor.ndim else 0
    if not isinstance(tensor, DTensor):
        return 0, count
    ranks = Ranks.here()
    each = -(-count // ranks.count)
    return min(ranks.rank * each, count), min((ranks.rank + 1) * each, count)


def _shard(model: nn.Module, *, half: bool) -> None:
    awaited = _awaited(model)
    if not awaited:
        _ask(model)
    _EMPTY[model] = _without_weights(model)
    mesh = _mesh(next(model.parameters()).device)
    for each in awaited:
        light = torch.empty(each.weight.shape, dtype=each.weight.dtype, device="meta")
        each.put(nn.Parameter(light, requires_grad=each.weight.requires_grad))
    full = MixedPrecisionPolicy(cast_forward_inputs=False)
    in_half = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    for layer in _layers(model):
        if half and (norms := _norms(layer)):
            _split(norms, mesh, full)
        if half:
            _always_in_half(layer)
        _split(layer, mesh, in_half if half else full)
    _split(model, mesh, full)
    setattr(model, ENTERED, _computed)
    register_fsdp_forward_method(model, ENTERED)
    if awaited:
        _read(awaited)
        within(model, lambda: _ask(model))


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


def _always_in_half(layer: nn.Module) -> None:
    """Let a layer compute under autocast also where that is off: what is gathered is bfloat16."""
    compute = layer.forward

    @wraps(compute)
    def forward(*given: Any, **more: Any) -> Any:
        kind = next(layer.parameters()).device.type
        with torch.autocast(kind, torch.bfloat16, cache_enabled=False):
            return compute(*given, **more)

    layer.forward = forward


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


@dataclass(frozen=True)
class _Place:
    """A weight that is still on disk, and the attributes that it is (several where it is tied)."""

    name: str
    weight: Awaited
    attributes: list[tuple[nn.Module, str]]

    def put(self, weight: nn.Parameter) -> None:
        for module, name in self.attributes:
            module._parameters[name] = weight

    @property
    def sharded(self) -> Any:
        module, name = self.attributes[0]
        return module._parameters[name]


def _awaited(model: nn.Module) -> list[_Place]:
    found: dict[int, _Place] = {}
    for prefix, part in model.named_modules():
        for name, weight in part._parameters.items():
            if isinstance(weight, Awaited):
                place = found.setdefault(id(weight), _Place(f"{prefix}.{name}", weight, []))
                place.attributes.append((part, name))
    return list(found.values())


def _read(awaited: list[_Place]) -> None:
    """Give every weight this process's rows of it.

    Raises UserError, in all processes, where some are no numbers.
    """
    broken = []
    for place in awaited:
        empty = place.sharded
        value = place.weight.stored.rows(*rows(empty))
        if not value.isfinite().all():
            broken.append(place.name)
        part = DTensor.from_local(
            value,
            empty.device_mesh,
            empty.placements,
            run_check=False,
            shape=empty.shape,
            stride=empty.stride(),
        )
        place.put(nn.Parameter(part, requires_grad=empty.requires_grad))
    found = {name for own in Ranks.here().gathered(broken) for name in own}
    if found:
        raise UserError(no_numbers(awaited[0].weight.stored.file.parent, sorted(found)))


def _ask(model: nn.Module) -> None:
    """What is found out by a forward, once."""
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
