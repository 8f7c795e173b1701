"""Training checkpoints: tensors as safetensors, everything else as JSON; no pickle, exact."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from heed.errors import UserError
from heed.files import new_directory, write_json

TENSORS = "tensors.safetensors"
STATE = "state.json"


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write named tensors and a JSON-able state to a directory, atomically.

    Tensors may live on any device and share memory; each is stored whole.
    """
    with new_directory(path) as directory:
        stored = {name: _standalone(tensor) for name, tensor in tensors.items()}
        save_file(stored, directory / TENSORS)
        write_json(directory / STATE, dict(state))


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_checkpoint` wrote; tensors come on the CPU.

    Raises UserError where there is no checkpoint, or a damaged one.
    """
    try:
        tensors = load_file(path / TENSORS)
        state = json.loads((path / STATE).read_text(encoding="utf-8"))
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(
            f"Cannot read the checkpoint {path}: {error}. Remove it to start the stage again."
        ) from error
    return tensors, state


def module_tensors(module: nn.Module, *, only_trainable: bool = False) -> dict[str, Tensor]:
    """A module's weights and persistent buffers by name; a tied weight comes once.

    `only_trainable` leaves out frozen weights and buffers (an adapter without its base).
    """
    state = module.state_dict()
    own = dict(module.named_parameters())
    if only_trainable:
        return {name: state[name] for name, weight in own.items() if weight.requires_grad}
    tied = dict(module.named_parameters(remove_duplicate=False)).keys() - own.keys()
    return {name: tensor for name, tensor in state.items() if name not in tied}


def load_module_tensors(
    module: nn.Module, tensors: Mapping[str, Tensor], *, only_trainable: bool = False
) -> None:
    """Copy what `module_tensors` gave back into a module of the same make, in place.

    Raises UserError where names or shapes differ.
    """
    target = module_tensors(module, only_trainable=only_trainable)
    _check_fit(target, tensors, "the model")
    module.load_state_dict(dict(tensors), strict=False)


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """An optimiser's state (for AdamW: exp_avg, exp_avg_sq, step) as "<parameter>.<name>".

    Learning rates and other settings are not in it: they come from the recipe and the schedule.
    """
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value)
        for index, entries in state.items()
        for name, value in entries.items()
    }


def load_optimizer_tensors(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser over the same parameters the state that `optimizer_tensors` took.

    Raises UserError where the state is for other parameters.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = tensor
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    averages = {
        str(index): entries["exp_avg"] for index, entries in state.items() if "exp_avg" in entries
    }
    shapes = {str(index): weights[index] for index in state if index < len(weights)}
    _check_fit(shapes, averages or shapes, "the optimiser")
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _check_fit(target: Mapping[str, Tensor], tensors: Mapping[str, Tensor], what: str) -> None:
    wrong = sorted(
        target.keys() ^ tensors.keys()
        | {
            name
            for name in target.keys() & tensors.keys()
            if target[name].shape != tensors[name].shape
        }
    )
    if wrong:
        raise UserError(
            f"The checkpoint does not fit {what}: {len(wrong)} tensors differ in name or shape, "
            f"{wrong[0]} first. Was the model changed since it was written?"
        )


def _standalone(tensor: Tensor) -> Tensor:
    """A copy on the CPU, contiguous: safetensors refuses memory that two names share."""
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
