"""Rows that are written side by side, over one of the two ways to run a model.

Dims: R rows under way, P prompts, V vocabulary. Rows stand in the order in which they came, but
for the last ones, which move into the places of those that left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from heed.errors import UserError
from heed.host import available_memory
from heed.models.anatomy import Anatomy
from heed.models.language_model import LanguageModel
from heed.sampling.continuous import closed_up
from heed.sampling.decoders import Decoder, decoder_of
from heed.sampling.known import lean_anatomy
from heed.sampling.plain import State, prefilled


class Slots(Protocol):
    """`joins`: rows may come while others are under way."""

    joins: bool

    def enter(self, prompts: Sequence[list[int]], index: Sequence[int], room: int) -> Tensor:
        """Prompts run through the model, rows `index` (into the prompts, with repeats) begun behind
        those that are there, each with `room` for so many tokens more; their logits [len, V].
        """
        ...

    def leave(self, going: Tensor) -> list[int]:
        """Keep the rows of a mask [R]; which of the rows before stands where now."""
        ...

    def step(self, tokens: Tensor) -> Tensor:
        """Put tokens [R] behind the rows; logits [R, V] of the next ones."""
        ...

    def clear(self) -> None:
        """All rows leave."""
        ...


def slots_of(lm: LanguageModel, count: int, context: int) -> Slots:
    """The lean decoder's where the model is known, else those of its own forward.

    Raises UserError where the memory does not hold so many slots.
    """
    known = lean_anatomy(lm.model)
    if known is None:
        return PlainSlots(lm.model, lm.device)
    dtype = known.embedding.weight.dtype
    _check_memory(known, dtype.itemsize, lm.device, count, context)
    return LeanSlots(decoder_of(known, dtype, count, context))


def _check_memory(
    known: Anatomy, itemsize: int, device: torch.device, count: int, context: int
) -> None:
    wide = sum(layer.attention.key_heads * layer.attention.width for layer in known.layers)
    wanted = 2 * wide * itemsize * count * context
    free = available_memory() if device.type == "cpu" else None
    if free is not None and wanted > free:
        raise UserError(
            f"{count} slots of {context} tokens take {wanted / 1e9:.1f} GB for keys and values, "
            f"and {free / 1e9:.1f} GB are free: fewer slots, or a smaller context."
        )


class LeanSlots:
    """Rows in the slots of a lean decoder's cache, which has its whole size from the start."""

    joins = True

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.rows = 0

    def enter(self, prompts: Sequence[list[int]], index: Sequence[int], room: int) -> Tensor:
        del room  # a slot holds the whole context
        before = self.decoder.prefill(prompts)
        logits = self.decoder.admit(before, index, self.rows)
        self.rows += len(index)
        return logits

    def leave(self, going: Tensor) -> list[int]:
        order = torch.arange(len(going), device=going.device)
        order, _ = closed_up(self.decoder, order, order.clone(), ~going)
        self.rows = len(order)
        kept: list[int] = order.tolist()
        return kept

    def step(self, tokens: Tensor) -> Tensor:
        return self.decoder.step(tokens)

    def clear(self) -> None:
        self.rows = 0


class PlainSlots:
    """Rows of any model, through its own forward: those that begin together, and no others."""

    joins = False

    def __init__(self, model: Any, device: torch.device) -> None:
        self.model, self.device = model, device
        self.state: State | None = None

    def enter(self, prompts: Sequence[list[int]], index: Sequence[int], room: int) -> Tensor:
        state = prefilled(self.model, prompts, room, self.device)
        self.state = state.rows(torch.tensor(index, device=self.device))
        return self.state.logits

    def leave(self, going: Tensor) -> list[int]:
        assert self.state is not None, "nobody leaves who has not entered"
        kept = going.nonzero().squeeze(1)
        self.state = self.state.rows(kept) if len(kept) else None
        order: list[int] = kept.tolist()
        return order

    def step(self, tokens: Tensor) -> Tensor:
        assert self.state is not None, "nothing is under way"
        self.state = self.state.forward(self.model, tokens[:, None])
        return self.state.logits

    def clear(self) -> None:
        self.state = None
