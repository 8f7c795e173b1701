"""Where a loss or a gradient stopped being a number: which rows, which weights, what to try.

The step that would have carried it into the weights is not made, so what is kept is good. Each row
of the batch goes through the loss alone, and the worst stand in a file of the stage's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import nn

from heed.errors import UserError
from heed.files import write_json
from heed.losses.term import Term
from heed.models.sharding import everywhere, local
from heed.models.source import load_tokenizer
from heed.ops.batch import Batch, Sequences
from heed.ranks import Ranks
from heed.recipe import Optimisation
from heed.run import StageRun

FILE = "nonfinite.json"
WORST = 8
"""Rows written down."""
MOST = 1024
"""Rows looked at alone: a pass forward and back each."""
SHOWN = 80
"""Characters of a row's text in the message."""


def check_weights(run: StageRun, module: nn.Module, iteration: int) -> None:
    """Raise UserError where a weight that trains is no number: nothing of it is to be saved."""
    if broken := _broken((name, weight) for name, weight in _trained(module)):
        raise UserError(
            f"{run.name}: {len(broken)} weights stopped being numbers by iteration {iteration} "
            f"({broken[0]} first); they were not saved, and the last checkpoint is kept. "
            "Lower optim.lr: the stage then begins again with the new rate, and those before it "
            "are kept."
        )


def nonfinite(
    run: StageRun,
    module: nn.Module,
    loss: Callable[[Any], list[Term]],
    batch: Batch,
    step: tuple[int, int],
    figures: tuple[float, float],
    optim: Optimisation,
) -> UserError:
    """What to raise in place of a step on `batch`; writes the worst rows to the stage's folder.

    `step`: the iteration and the step within it, from 1; `figures`: loss and gradient norm;
    `loss` is the method's.
    """
    where = {"iteration": step[0], "step": step[1]}
    weights = _broken(_trained(module))
    gradients = _broken((name, weight.grad) for name, weight in _trained(module))
    rows = worst_rows(module, loss, batch)
    found = {
        **where,
        "loss": _number(figures[0]),
        "gradient_norm": _number(figures[1]),
        "weights": weights,
        "gradients": gradients,
        "rows": rows,
    }
    file = run.directory / FILE
    if run.writes:
        write_json(file, found)
    Ranks.here().wait()  # the first process to end takes the others with it
    kept = sorted(path.name for path in (run.directory / "checkpoints").glob("last-*"))
    begins = f"the checkpoint of iteration {int(kept[-1][5:])} is kept" if kept else (
        "there is no checkpoint yet"
    )  # fmt: skip
    return UserError(
        f"{run.name}: the loss or its gradient stopped being a number at iteration {step[0]}, step "
        f"{step[1]} of it (loss {figures[0]:g}, gradient {figures[1]:g}). The step was not made; "
        f"{begins}. The worst of the {len(batch)} rows{_of_the_worst(rows)} stand in {file}. "
        f"Lower optim.lr (it is {optim.lr:g}) or optim.clip_norm ({optim.clip_norm:g}): the stage "
        "then begins again under the new settings, and those before it are kept. Or set dtype: "
        "float32 if it is another, or take these rows out of the data: then every stage is done "
        "again."
    )


def worst_rows(
    module: nn.Module, loss: Callable[[Any], list[Term]], batch: Batch
) -> list[dict[str, Any]]:
    """The rows whose own loss or gradient is no number, then those of the largest gradients.

    The module's gradients are overwritten.
    """
    decode = _decoder(module)
    found = []
    for row in range(min(len(batch), MOST)):
        alone = batch.rows(torch.tensor([row]))
        module.zero_grad(set_to_none=True)
        total = sum((term.weight * term.total for term in loss(alone) if term.weight),
                    torch.zeros(()))  # fmt: skip
        if total.requires_grad:
            total.backward()
        grads = [weight.grad for _, weight in _trained(module) if weight.grad is not None]
        norm = float(everywhere(nn.utils.get_total_norm(grads))) if grads else 0.0
        found.append((row, float(total.detach()), norm))
    module.zero_grad(set_to_none=True)
    found.sort(key=lambda each: (math.isfinite(each[1] + each[2]), -each[2]))
    return [
        {
            "row": row,
            "loss": _number(total),
            "gradient_norm": _number(norm),
            "sequences": _texts(batch.rows(torch.tensor([row])), decode),
        }
        for row, total, norm in found[:WORST]
    ]


def _texts(row: Batch, decode: Callable[[Sequence[int]], str] | None) -> dict[str, Any]:
    """A row's token ids, and their text where the module knows its tokenizer, part by part."""
    return {
        name: {
            "ids": (ids := part.ids[0][part.mask[0]].tolist()),
            "targets": int(part.target.sum()),
            "text": decode(ids) if decode else None,
        }
        for name, part in _sequences("", row)
    }


def _sequences(name: str, part: Any) -> Iterator[tuple[str, Sequences]]:
    if isinstance(part, Sequences):
        yield name or "row", part
    elif isinstance(part, Batch):
        for field in fields(part):
            yield from _sequences(field.name, getattr(part, field.name))


def _decoder(module: nn.Module) -> Callable[[Sequence[int]], str] | None:
    """What makes text of ids: by the tokenizer of the directory that the module came from."""
    for part in module.modules():
        source = getattr(part, "name_or_path", "")
        if isinstance(source, str) and source:
            try:
                tokenizer = load_tokenizer(source)
            except UserError:
                return None
            return lambda ids: str(tokenizer.decode(list(ids)))
    return None


def _of_the_worst(rows: Sequence[dict[str, Any]]) -> str:
    """The first row's number and the beginning of its text, in brackets."""
    if not rows:
        return ""
    texts = [part["text"] for part in rows[0]["sequences"].values() if part["text"]]
    shown = f": {' '.join(texts[0].split())[:SHOWN]!r}" if texts else ""
    return f" (row {rows[0]['row']} first{shown})"


def _trained(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, weight) for name, weight in module.named_parameters() if weight.requires_grad)


def _broken(tensors: Iterator[tuple[str, torch.Tensor | None]]) -> list[str]:
    """Names of the tensors that hold something else than numbers, in whichever process."""
    found = [(name, each) for name, each in tensors if each is not None]
    bad = torch.tensor([float(not local(each).isfinite().all()) for _, each in found])
    Ranks.here().add([bad])
    return [name for (name, _), flag in zip(found, bad.tolist(), strict=True) if flag]


def _number(value: float) -> float | str:
    """The number, or its name where JSON has none for it."""
    return value if math.isfinite(value) else str(value)
