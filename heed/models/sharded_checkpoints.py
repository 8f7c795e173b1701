"""Checkpoints of sharded weights: every process writes its rows of every tensor, and any number of
processes can read the rows that it needs.

checkpoints/last-000120/   rank-00000.safetensors, rank-00001.safetensors, ..., state.json

A file's metadata say which rows of what each of its tensors is. So resuming with another number of
processes, sharded or not, reads no more than it keeps. (torch.distributed.checkpoint does the same;
its metadata are a pickle.)
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from heed.errors import UserError
from heed.files import exchange, fsync_directory, naming, write_json
from heed.models.checkpoints import STATE, TENSORS
from heed.models.sharding import local, rows
from heed.ranks import Ranks

FILES = "rank-*.safetensors"
PAUSE = 0.005
"""Seconds between two looks for the files of the other processes."""


@dataclass(frozen=True)
class Part:
    """This process's rows of a tensor: `rows` of them from `start` on, of `shape` in all."""

    tensor: Tensor
    start: int
    shape: tuple[int, ...]

    @classmethod
    def of(cls, tensor: Tensor) -> Part:
        """Of a sharded tensor; all rows of any other."""
        return cls(local(tensor.detach()), rows(tensor)[0], tuple(tensor.shape))


def parts(module: nn.Module, optimizer: Optimizer | None) -> dict[str, Part]:
    """What a checkpoint holds: the weights that train, and the optimiser's state, by name."""
    found = {
        f"module/{name}": Part.of(weight)
        for name, weight in module.named_parameters()
        if weight.requires_grad
    }
    for at, weight in enumerate(_weights(optimizer) if optimizer else ()):
        for name, value in optimizer.state.get(weight, {}).items() if optimizer else ():
            found[f"optimizer/{at}.{name}"] = Part.of(torch.as_tensor(value))
    return found


class Writing:
    """A checkpoint that is being written beside the training; `finish` waits for it."""

    def __init__(
        self,
        path: Path,
        module: nn.Module,
        optimizer: Optimizer,
        state: Mapping[str, Any],
        then: Callable[[], None],
    ) -> None:
        """Copy this process's part and begin to write it. `then` is called in the first process
        when all have written and the checkpoint has its name.
        """
        self.path = path
        self.ranks = Ranks.here()
        self.state = json.loads(json.dumps(dict(state)))  # as it is now
        self.then = then
        self.error: BaseException | None = None
        self.written, self.lost = threading.Event(), threading.Event()
        self.tensors, self.rows = self._copied(module, optimizer)
        self.thread = threading.Thread(target=self._write, name="heed-checkpoint", daemon=True)
        self.thread.start()

    def finish(self) -> None:
        """Wait until all processes have written their parts, and the first has named the whole.

        All come here alike. Raises what went wrong, in any of them; one that died is noticed here,
        by who waits for its word.
        """
        self.written.wait()
        if self.ranks.any(self.error is not None):
            self.lost.set()
        self.thread.join()
        if self.error is not None:
            raise self.error

    def _copied(
        self, module: nn.Module, optimizer: Optimizer
    ) -> tuple[dict[str, Tensor], dict[str, tuple[int, tuple[int, ...]]]]:
        own = {}
        for name, part in parts(module, optimizer).items():
            split = part.tensor.shape != part.shape
            if part.tensor.numel() and (split or self.ranks.rank == 0):
                own[name] = part
        tensors = {
            name: part.tensor.to("cpu", copy=True).contiguous() for name, part in own.items()
        }
        return tensors, {name: (part.start, part.shape) for name, part in own.items()}

    def _write(self) -> None:
        try:
            with naming(self.path):
                folder = self.path.with_name(f".{self.path.name}.parts")
                folder.mkdir(parents=True, exist_ok=True)
                self._own_file(folder)
                self.written.set()
                if self.ranks.rank == 0:
                    self._complete(folder)
        except BaseException as error:
            self.error = error
        finally:
            self.written.set()

    def _own_file(self, folder: Path) -> None:
        unfinished = folder / f".rank-{self.ranks.rank}"
        save_file(self.tensors, unfinished, {"rows": json.dumps(self.rows)})
        self.tensors = {}
        unfinished.chmod(0o644)
        with unfinished.open("rb") as handle:
            os.fsync(handle.fileno())
        unfinished.rename(folder / f"rank-{self.ranks.rank:05d}.safetensors")
        fsync_directory(folder)

    def _complete(self, folder: Path) -> None:
        while len(list(folder.glob(FILES))) < self.ranks.count:
            if self.lost.wait(PAUSE):
                raise RuntimeError(f"{self.path} is not whole: a process could not write its part")
        write_json(folder / STATE, self.state)
        exchange(folder, self.path)
        fsync_directory(self.path.parent)
        self.then()


def load_parts(path: Path, module: nn.Module, optimizer: Optimizer | None) -> dict[str, Any]:
    """Restore a checkpoint in place, written by any number of processes, whole or in parts; gives
    its state.

    Raises UserError where it is damaged, or of another model.
    """
    try:
        with ExitStack() as stack:
            files = [path / TENSORS] if (path / TENSORS).exists() else sorted(path.glob(FILES))
            stored = _Stored([stack.enter_context(safe_open(f, framework="pt")) for f in files])
            _restore(stored, module, optimizer)
        state: dict[str, Any] = json.loads((path / STATE).read_text(encoding="utf-8"))
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(
            f"Cannot read the checkpoint {path}: {error}. Remove it to start the stage again."
        ) from error
    return state


class _Stored:
    """The tensors of several files, by name and rows."""

    def __init__(self, files: list[Any]) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.places: dict[str, list[tuple[int, Any]]] = {}
        for file in files:
            rows = json.loads((file.metadata() or {}).get("rows", "{}"))
            for name in file.keys():  # noqa: SIM118 (it is no mapping)
                whole = (0, file.get_slice(name).get_shape())
                start, shape = rows.get(name, whole)
                self.shapes[name] = tuple(shape)
                self.places.setdefault(name, []).append((start, file))

    def read(self, name: str, start: int, stop: int) -> Tensor:
        """Rows `start` to `stop` of a tensor; one without dimensions whole."""
        if not self.shapes[name]:
            found: Tensor = self.places[name][0][1].get_tensor(name)
            return found
        pieces = list(self._pieces(name, start, stop))
        read = torch.cat(pieces) if pieces else torch.zeros(0, *self.shapes[name][1:])
        if len(read) != stop - start:
            raise ValueError(f"rows of {name} are missing")
        return read

    def _pieces(self, name: str, start: int, stop: int) -> Iterator[Tensor]:
        for first, file in sorted(self.places[name], key=lambda place: place[0]):
            rows = file.get_slice(name)
            low, high = max(start - first, 0), min(stop - first, rows.get_shape()[0])
            if low < high:
                yield rows[low:high]


@torch.no_grad()
def _restore(stored: _Stored, module: nn.Module, optimizer: Optimizer | None) -> None:
    wanted = parts(module, None)
    of_module = {name for name in stored.shapes if name.startswith("module/")}
    wrong = sorted(
        of_module ^ wanted.keys()
        | {n for n in of_module & wanted.keys() if stored.shapes[n] != wanted[n].shape}
    )
    if wrong:
        raise UserError(
            f"The checkpoint does not fit the model: {len(wrong)} tensors differ in name or shape, "
            f"{wrong[0]} first. Was the model changed since it was written?"
        )
    for name, part in wanted.items():
        part.tensor.copy_(_rows(stored, name, part))
    if optimizer is not None:
        _restore_optimizer(stored, optimizer)


def _restore_optimizer(stored: _Stored, optimizer: Optimizer) -> None:
    weights = _weights(optimizer)
    state: dict[int, dict[str, Tensor]] = {}
    for key in stored.shapes:
        kind, _, rest = key.partition("/")
        if kind != "optimizer":
            continue
        at, _, name = rest.partition(".")
        weight = weights[int(at)]
        like = stored.shapes[key] == tuple(weight.shape) and bool(stored.shapes[key])
        part = Part.of(weight) if like else Part(torch.zeros(()), 0, stored.shapes[key])
        value = _rows(stored, key, part)
        if like and isinstance(weight, DTensor):
            value = DTensor.from_local(
                value.to(part.tensor),
                weight.device_mesh,
                weight.placements,
                run_check=False,
                shape=weight.shape,
                stride=weight.stride(),
            )
        state.setdefault(int(at), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _rows(stored: _Stored, name: str, part: Part) -> Tensor:
    rows = len(part.tensor) if part.tensor.ndim else 0
    return stored.read(name, part.start, part.start + rows)


def _weights(optimizer: Optimizer) -> list[Tensor]:
    return [weight for group in optimizer.param_groups for weight in group["params"]]
