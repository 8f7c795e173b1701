"""A stage's checkpoints: the newest of each name, the older removed once it is safe on disk.

checkpoints/last-000120/   tensors.safetensors, state.json; of sharded weights a file a process
                           (`heed.models.sharded_checkpoints`), written while the training goes on
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from heed.models.checkpoints import (
    TENSORS,
    load_checkpoint,
    load_module_tensors,
    load_optimizer_tensors,
    module_tensors,
    optimizer_tensors,
    save_checkpoint,
)
from heed.models.sharded_checkpoints import Writing, load_parts
from heed.models.sharding import is_sharded
from heed.ranks import Ranks


class CheckpointFolder:
    """Saves and restores a module and its optimiser under names such as "last" and "best"."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.writing: Writing | None = None

    def save(
        self,
        name: str,
        iteration: int,
        module: nn.Module,
        optimizer: Optimizer,
        state: Mapping[str, Any],
    ) -> None:
        """Write what trains, atomically, then remove the older checkpoints of this name.

        Sharded weights every process has to bring; they are copied, and written by `finish` at the
        latest. Others the first process saves.
        """
        path = self.directory / f"{name}-{iteration:06d}"
        if is_sharded(module):
            self.finish()
            self.writing = Writing(
                path, module, optimizer, state, lambda: self._remove_older(name, path)
            )
            return
        tensors = {
            **_prefixed("module", module_tensors(module, only_trainable=True)),
            **_prefixed("optimizer", optimizer_tensors(optimizer)),
        }
        save_checkpoint(path, tensors, state)
        self._remove_older(name, path)

    def finish(self) -> None:
        """Wait until what was saved last is on disk. Raises what went wrong."""
        if self.writing is not None:
            self.writing.finish()
            self.writing = None

    def load(
        self, name: str, module: nn.Module, optimizer: Optimizer | None = None
    ) -> dict[str, Any] | None:
        """Restore the newest checkpoint of a name in place and return its state.

        None if there is none. What a killed process left half written is removed.
        """
        Ranks.here().wait()  # none writes here any more
        for unfinished in self.directory.glob(".*"):
            rmtree(unfinished, ignore_errors=True)  # another rank may be removing it
        checkpoints = self._all(name)
        if not checkpoints:
            return None
        if is_sharded(module) or not (checkpoints[-1] / TENSORS).exists():
            return load_parts(checkpoints[-1], module, optimizer)
        tensors, state = load_checkpoint(checkpoints[-1])
        load_module_tensors(module, _unprefixed("module", tensors), only_trainable=True)
        if optimizer is not None:
            load_optimizer_tensors(optimizer, _unprefixed("optimizer", tensors))
        return state

    def _remove_older(self, name: str, newest: Path) -> None:
        for older in self._all(name):
            if older != newest:
                rmtree(older)

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
