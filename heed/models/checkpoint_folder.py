"""A stage's checkpoints: the newest of each name, the older removed once it is safe on disk.

checkpoints/last-000120/   tensors.safetensors, state.json
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from heed.models.checkpoints import (
    load_checkpoint,
    load_module_tensors,
    load_optimizer_tensors,
    module_tensors,
    optimizer_tensors,
    save_checkpoint,
)


class CheckpointFolder:
    """Saves and restores a module and its optimiser under names such as "last" and "best"."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def save(
        self,
        name: str,
        iteration: int,
        module: nn.Module,
        optimizer: Optimizer,
        state: Mapping[str, Any],
    ) -> None:
        """Write what trains, atomically, then remove the older checkpoints of this name."""
        tensors = {
            **_prefixed("module", module_tensors(module, only_trainable=True)),
            **_prefixed("optimizer", optimizer_tensors(optimizer)),
        }
        path = self.directory / f"{name}-{iteration:06d}"
        save_checkpoint(path, tensors, state)
        for older in self._all(name):
            if older != path:
                rmtree(older)

    def load(
        self, name: str, module: nn.Module, optimizer: Optimizer | None = None
    ) -> dict[str, Any] | None:
        """Restore the newest checkpoint of a name in place and return its state.

        None if there is none. What a killed process left half written is removed.
        """
        for unfinished in self.directory.glob(".*"):
            rmtree(unfinished, ignore_errors=True)  # another rank may be removing it
        checkpoints = self._all(name)
        if not checkpoints:
            return None
        tensors, state = load_checkpoint(checkpoints[-1])
        load_module_tensors(module, _unprefixed("module", tensors), only_trainable=True)
        if optimizer is not None:
            load_optimizer_tensors(optimizer, _unprefixed("optimizer", tensors))
        return state

    def _all(self, name: str) -> list[Path]:
        return sorted(self.directory.glob(f"{name}-*"))


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def _unprefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}/"
    return {
        name.removeprefix(start): tensor
        for name, tensor in tensors.items()
        if name.startswith(start)
    }
