"""Models whose weights are still on disk: made without them, and given each process's rows later.

A model that will be sharded need never be whole. Here it gets its modules, its buffers and, in
place of weights, one number that is none (NaN), seen in every place; `heed.models.sharding.shard`
reads what each process keeps of the safetensors files. What is attached meanwhile (adapters, a
head) is real, and is what it would be beside real weights.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import AutoConfig, GenerationConfig

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Stored:
    """A tensor in a safetensors file, and the format that it is wanted in."""

    file: Path
    key: str
    dtype: torch.dtype

    def rows(self, start: int, stop: int) -> Tensor:
        """Some of its rows, in memory of their own; no others are read."""
        with safe_open(self.file, framework="pt") as tensors:
            read: Tensor = tensors.get_slice(self.key)[start:stop]
        return read.to(self.dtype, copy=True).contiguous()


class Awaited(nn.Parameter):
    """A weight that is on disk."""

    stored: Stored

    @classmethod
    def of(cls, weight: nn.Parameter, stored: Stored) -> Awaited:
        """In place of a weight without memory; one number stands for all of it."""
        shown = torch.full((), torch.nan, dtype=stored.dtype).expand(weight.shape)
        made: Awaited = cls(shown, weight.requires_grad)
        made.stored = stored
        return made


def awaiting(auto: Any, source: str | Path, dtype: torch.dtype) -> Any | None:
    """A model by one of transformers' Auto classes, on the CPU, in eval mode, as `from_pretrained`
    gives it, its weights awaited.

    None where that is not surely the same: no local directory, names or shapes that differ between
    file and model, buffers that are in the file, a model that cannot be made without weights.
    """
    files = _files(Path(source))
    if not files:
        return None
    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
        with _weightless():
            model = auto.from_config(config, dtype=dtype, trust_remote_code=False)
        model.tie_weights()
        if Path(source, "generation_config.json").exists() and model.can_generate():
            model.generation_config = GenerationConfig.from_pretrained(source)
    except Exception:  # whatever it is that this model cannot do: it is loaded as any other
        return None
    weights = dict(model.named_parameters())
    kept = {name for name, _ in model.named_buffers()} & model.state_dict().keys()
    if kept or not _same(weights, files):
        return None
    known = {id(w): Awaited.of(w, Stored(files[name], name, dtype)) for name, w in weights.items()}
    for part in model.modules():
        for name, weight in list(part._parameters.items()):
            if weight is not None:
                part._parameters[name] = known[id(weight)]
    return model.eval()


@contextmanager
def _weightless() -> Iterator[None]:
    """Within, what modules register as their weights has no memory; buffers are as ever."""
    register = nn.Module.register_parameter

    def light(module: nn.Module, name: str, weight: nn.Parameter | None) -> None:
        if weight is not None and weight.device.type != "meta":
            weight = nn.Parameter(weight.detach().to("meta"), weight.requires_grad)
        register(module, name, weight)

    nn.Module.register_parameter = light  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]


def _files(source: Path) -> Mapping[str, Path]:
    """The file of each tensor; none unless the weights are as transformers saves them."""
    if (source / INDEX).is_file():
        try:
            places = json.loads((source / INDEX).read_text(encoding="utf-8"))["weight_map"]
            return {name: source / file for name, file in places.items()}
        except (ValueError, LookupError, AttributeError, TypeError):
            return {}
    if not (source / WEIGHTS).is_file():
        return {}
    try:
        with safe_open(source / WEIGHTS, framework="pt") as tensors:
            return dict.fromkeys(tensors.keys(), source / WEIGHTS)
    except Exception:  # a damaged file: whoever loads it as any other says so
        return {}


def _same(weights: Mapping[str, Tensor], files: Mapping[str, Path]) -> bool:
    """Whether files hold just these weights, in these shapes, as numbers that are no integers."""
    if weights.keys() != files.keys():
        return False
    for file in set(files.values()):
        try:
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118 (it is no mapping)
                    part = tensors.get_slice(name)
                    if name in weights and (
                        part.get_shape() != list(weights[name].shape)
                        or part.get_dtype() not in ("F32", "F16", "BF16", "F64")
                        or not weights[name].ndim
                    ):
                        return False
        except Exception:  # as above
            return False
    return True
