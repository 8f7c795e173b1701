"""Training steps on a GPU: rows end to end (`packing`) against rows padded to the longest of their
micro-batch. Weights are float32, forward passes in the device's format under autocast, as in a
recipe; the optimiser is the trainer's, with a learning rate of 0, so that all rounds compute the
same. The loss and the norm of the gradient must agree.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from benchmarks.gpu_work import Device, Line, Side, in_turn, new_model, size
from benchmarks.harness import Unequal
from benchmarks.material import lognormal, words
from heed.models.adapters import new_adapter
from heed.models.forward import completion_logprobs
from heed.models.packing import check_packing, packs
from heed.ops.batch import Sequences, laid_out

PROMPT = 32
ADAPTED = frozenset({"7B"})
"""Too large for float32 weights, gradients and moments on one device: LoRA of rank 16."""
AGREEMENT = {torch.float32: 1e-4, torch.bfloat16: 2e-2}
"""Of losses and gradients' norms, as a share."""
MADE = {True: "packed", False: "padded"}


@dataclass(frozen=True)
class Step:
    """One optimiser step's loss, the norm of its gradient, and its tokens."""

    loss: float
    norm: float
    tokens: int


def rows(vocabulary: int, count: int, median: float, device: torch.device) -> Sequences:
    """Texts of `PROMPT` words and answers lognormal around a median, up to eight times as long."""
    rng = random.Random(0)
    lengths = [lognormal(rng, median, 0.7, 4, round(8 * median)) for _ in range(count)]
    items = [(words(rng, vocabulary, PROMPT), words(rng, vocabulary, n)) for n in lengths]
    return Sequences.of(items, 0).to(device)


def stepper(
    model: nn.Module, device: Device, data: Sequences, micro: int, *, packed: bool
) -> Callable[[], Step]:
    """A function that does one step on all rows, `micro` tokens at a time."""
    batch = laid_out(data, packed)
    tokens, targets = int(data.cost().sum()), int(data.target.sum())
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.0, fused=True)
    half = device.dtype != torch.float32
    kind = device.device.type

    def step() -> Step:
        optimizer.zero_grad(set_to_none=True)
        loss = torch.zeros((), device=device.device)
        with torch.autocast(kind, torch.bfloat16, enabled=half, cache_enabled=False):
            for part in batch.split(micro):
                logprobs, _ = completion_logprobs(model, part)
                objective = -logprobs.sum() / targets
                objective.backward()
                loss += objective.detach()
        norm = nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        return Step(float(loss), float(norm), tokens)

    return step


def least_seconds(device: Device, shape: str, data: Sequences) -> float:
    """The products of weights with real tokens: forward, and both of the backward's, or one where
    only an adapter trains; of the head with those that are predicted. Attention is not counted.
    """
    known, times = size(shape), 4.0 if shape in ADAPTED else 6.0
    done = known.backbone * int(data.cost().sum()) + known.head * int(data.target.sum())
    return times * done / device.products


def measure(
    device: Device, shape: str, count: int, median: float, micro: int, rounds: int
) -> list[Line]:
    """Lines of both layouts."""
    model: Any = new_model(shape, device.device, torch.float32)
    check_packing(model.base_model)
    if shape in ADAPTED:
        model = new_adapter(model, rank=16, alpha=32, dropout=0.0, targets="all-linear", seed=0)
    model.train()
    data = rows(size(shape).vocabulary, count, median, device.device)
    seen: list[Step] = []
    with torch.autocast(device.device.type, torch.bfloat16, device.dtype != torch.float32):
        unasked = packs(model)

    def checked(step: Step) -> str:
        seen.append(step)
        agree(seen[0], step, AGREEMENT[device.dtype])
        return ""

    sides = [
        Side(MADE[packed], stepper(model, device, data, micro, packed=packed), checked)
        for packed in (True, False)
    ]
    name = f"train {shape}" + (" LoRA" if shape in ADAPTED else "")
    least = least_seconds(device, shape, data)
    lines = in_turn(name, sides, device, rounds, int(data.cost().sum()), least)
    told = "" if unasked else "document by document: one kernel for all was not there, or differed"
    return [replace(line, note=line.note or told) for line in lines[:1]] + lines[1:]


def agree(one: Step, other: Step, share: float) -> None:
    """Raise Unequal where two steps do not."""
    for name in ("loss", "norm"):
        a, b = getattr(one, name), getattr(other, name)
        if not abs(a - b) <= share * abs(a):
            raise Unequal(f"the {name} of packed rows is {a}, of padded ones {b}")
