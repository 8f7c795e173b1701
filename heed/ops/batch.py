"""Batches: named tensors that carry their mask and know how to split themselves.

Dims: B rows, T tokens. Padding stands on the right. A per-token quantity at [b, t] belongs to the
act of emitting ids[b, t] in the state ids[b, :t]: log-prob, value, reward, advantage and mask all
share this index, so nothing is ever shifted outside the model's forward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from heed.ops.packing import balanced, first_fit_decreasing

BatchT = TypeVar("BatchT", bound="Batch")
SequencesT = TypeVar("SequencesT", bound="Sequences")


@dataclass(frozen=True)
class Batch:
    """Rows that travel together; every field is a tensor with B rows or another Batch of B rows."""

    def _parts(self) -> dict[str, Tensor | Batch]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __len__(self) -> int:
        return len(next(iter(self._parts().values())))

    def counts(self) -> dict[str, float]:
        """What a loss may divide by, summed over these rows: {"rows": B, ...}."""
        return {"rows": float(len(self))}

    def cost(self) -> Int[Tensor, "B"]:
        """Tokens each row puts through the model."""
        raise NotImplementedError

    def room(self, *, packed: bool) -> Int[Tensor, "B"]:
        """Tokens a row takes up in a forward pass: its own, or with padding among rows like it."""
        return self.cost()

    def rows(self: BatchT, index: Tensor) -> BatchT:
        """The rows named by an index tensor, padding cut to the longest of them."""
        parts = {
            name: part.rows(index) if isinstance(part, Batch) else part[index]
            for name, part in self._parts().items()
        }
        return type(self)(**parts)

    def to(self: BatchT, device: torch.device | str) -> BatchT:
        return type(self)(**{name: part.to(device) for name, part in self._parts().items()})

    def shard(self: BatchT, rank: int, ranks: int) -> BatchT:
        """One process's share of the rows: each has about as many tokens."""
        return self.rows(torch.tensor(balanced(self.cost().tolist(), ranks)[rank]).long())

    def shares(self, ranks: int, tokens: int, *, packed: bool = False) -> list[list[Tensor]]:
        """For each of so many processes the micro-batches of its share, as indices of rows [rows].

        Every process knows the shares of all.
        """
        shares = [torch.tensor(own).long() for own in balanced(self.cost().tolist(), ranks)]
        return [
            [own[index] for index in self.rows(own).partition(tokens, packed=packed)]
            for own in shares
        ]

    def partition(self, tokens: int, *, packed: bool = False) -> Iterator[Int[Tensor, "rows"]]:
        """Indices of micro-batches of at most `tokens` tokens (a longer row stands alone).

        With `packed` only real tokens count; otherwise padding does, and rows are taken longest
        first, so that it is small and memory peaks at once.
        """
        room = self.room(packed=packed)
        if packed:
            yield from map(torch.tensor, first_fit_decreasing(room.tolist(), tokens))
            return
        order = torch.argsort(room, descending=True, stable=True)
        start = 0
        while start < len(order):
            longest = max(1, int(room[order[start]]))
            stop = start + max(1, tokens // longest)
            yield order[start:stop].sort().values
            start = stop

    def split(self: BatchT, tokens: int, *, packed: bool = False) -> Iterator[BatchT]:
        """The micro-batches of `partition`."""
        for index in self.partition(tokens, packed=packed):
            yield self.rows(index)


@dataclass(frozen=True)
class Sequences(Batch):
    """Prompt and completion, end to end.

    `mask` marks real tokens, `target` the completion's tokens (what a loss may look at), the
    end-of-sequence token among them.
    """

    ids: Int[Tensor, "B T"]
    mask: Bool[Tensor, "B T"]
    target: Bool[Tensor, "B T"]

    @classmethod
    def of(cls, items: Sequence[tuple[Sequence[int], Sequence[int]]], pad: int) -> Sequences:
        """Right-pad (prompt ids, completion ids) rows to the longest."""
        return cls.marked(
            [
                ([*prompt, *completion], [False] * len(prompt) + [True] * len(completion))
                for prompt, completion in items
            ],
            pad,
        )

    @classmethod
    def marked(cls, items: Sequence[tuple[Sequence[int], Sequence[bool]]], pad: int) -> Sequences:
        """Right-pad rows of ids, each with a mark on its target tokens, to the longest."""
        width = max(len(tokens) for tokens, _ in items)
        ids = torch.full((len(items), width), pad, dtype=torch.long)
        mask = torch.zeros((len(items), width), dtype=torch.bool)
        target = torch.zeros((len(items), width), dtype=torch.bool)
        for row, (tokens, marks) in enumerate(items):
            ids[row, : len(tokens)] = torch.tensor(tokens, dtype=torch.long)
            mask[row, : len(tokens)] = True
            target[row, : len(tokens)] = torch.tensor(marks, dtype=torch.bool)
        return cls(ids, mask, target)

    def counts(self) -> dict[str, float]:
        return {**super().counts(), "tokens": float(self.target.sum())}

    def cost(self) -> Int[Tensor, "B"]:
        return self.mask.sum(1)

    def rows(self: SequencesT, index: Tensor) -> SequencesT:
        chosen = super().rows(index)
        width = max(1, int(chosen.cost().max())) if len(chosen) else 1
        return replace(
            chosen,
            **{
                name: part[:, :width]
                for name, part in chosen._parts().items()
                if isinstance(part, Tensor) and part.ndim > 1
            },
        )

    @property
    def positions(self) -> Int[Tensor, "B T"]:
        """position_ids that follow the padding mask."""
        return (self.mask.long().cumsum(1) - 1).clamp(min=0)


@dataclass(frozen=True)
class Packed(Sequences):
    """Sequences that a forward pass takes end to end, as one row without padding.

    The rows, what they count and so the gradient are those of `Sequences`; only what a forward
    pass holds is another: as many documents as have room by their own tokens.
    """

    def partition(self, tokens: int, *, packed: bool = True) -> Iterator[Int[Tensor, "rows"]]:
        return super().partition(tokens, packed=True)


@dataclass(frozen=True)
class Padded(Sequences):
    """Sequences that a forward pass takes padded, even where the model could be packed."""

    def partition(self, tokens: int, *, packed: bool = False) -> Iterator[Int[Tensor, "rows"]]:
        return super().partition(tokens, packed=False)


def laid_out(sequences: Sequences, packing: bool | None) -> Sequences:
    """The same rows, to be packed, to be padded, or as the model allows."""
    kind = {True: Packed, False: Padded, None: Sequences}[packing]
    return kind(sequences.ids, sequences.mask, sequences.target)


def in_parts(
    data: Sequences, tokens: int, compute: Callable[[Sequences], Tensor], *, packed: bool = False
) -> Float[Tensor, "B ..."]:
    """What `compute` gives a row, [B] or [B, T, ...], a micro-batch of `tokens` at a time.

    `packed` says that only real tokens count, since `compute` packs them.
    """
    results: Tensor | None = None
    for index in data.partition(tokens, packed=packed):
        part = compute(data.rows(index))
        if results is None:
            shape = (len(data), *data.ids.shape[1:], *part.shape[2:])
            results = part.new_zeros(shape[: part.ndim])
        if part.ndim == 1:
            results[index] = part
        else:
            results[index, : part.shape[1]] = part
    if results is None:
        raise ValueError("a batch without rows has no results")
    return results


def joined(first: Sequences, second: Sequences, pad: int) -> Sequences:
    """The rows of both, one under the other, so that one forward pass serves both."""
    width = max(first.ids.shape[1], second.ids.shape[1])

    def fill(part: Tensor, value: int) -> Tensor:
        return torch.nn.functional.pad(part, (0, width - part.shape[1]), value=value)

    return Sequences(
        ids=torch.cat([fill(first.ids, pad), fill(second.ids, pad)]),
        mask=torch.cat([fill(first.mask, 0), fill(second.mask, 0)]),
        target=torch.cat([fill(first.target, 0), fill(second.target, 0)]),
    )


@dataclass(frozen=True)
class Pairs(Batch):
    """Chosen and rejected answers to the same prompts.

    `ref_chosen`, `ref_rejected`: summed log-probs of the completions under the reference model
    (zeros for losses without a reference).
    """

    chosen: Sequences
    rejected: Sequences
    margin: Float[Tensor, "B"]
    weight: Float[Tensor, "B"]
    ref_chosen: Float[Tensor, "B"]
    ref_rejected: Float[Tensor, "B"]

    def counts(self) -> dict[str, float]:
        """Rows, their weights, and the chosen answers' tokens, each times its row's weight."""
        tokens = float((self.weight * self.chosen.target.sum(1)).sum())
        return {**super().counts(), "weight": float(self.weight.sum()), "chosen_tokens": tokens}

    def cost(self) -> Int[Tensor, "B"]:
        return self.chosen.cost() + self.rejected.cost()

    def room(self, *, packed: bool) -> Int[Tensor, "B"]:
        # Both sides go through one forward pass, packed or padded to the longer.
        if packed:
            return self.cost()
        return 2 * torch.maximum(self.chosen.cost(), self.rejected.cost())


@dataclass(frozen=True)
class Answers(Batch):
    """Answers that are desirable or not, each with an answer to another prompt under its own.

    `ref_answer`, `ref_mismatched`: summed log-probs of the completions under the reference model.
    `baseline` is the whole batch's, in every row.
    """

    answer: Sequences
    mismatched: Sequences
    desirable: Bool[Tensor, "B"]
    weight: Float[Tensor, "B"]
    ref_answer: Float[Tensor, "B"]
    ref_mismatched: Float[Tensor, "B"]
    baseline: Float[Tensor, "B"]

    def counts(self) -> dict[str, float]:
        liked = float(self.desirable.sum())
        return {
            **super().counts(),
            "weight": float(self.weight.sum()),
            "desirable": liked,
            "undesirable": len(self) - liked,
        }

    def cost(self) -> Int[Tensor, "B"]:
        return self.answer.cost() + self.mismatched.cost()

    def room(self, *, packed: bool) -> Int[Tensor, "B"]:
        # Mismatched answers go through forward passes of their own.
        return self.answer.cost()


@dataclass(frozen=True)
class Rollout(Sequences):
    """Completions sampled from the policy, with all that policy gradients need.

    `logprobs`: under the policy that sampled them; `ref_logprobs`: under the reference; `values`,
    `returns`, `advantages`: zero outside `target`.
    """

    logprobs: Float[Tensor, "B T"]
    ref_logprobs: Float[Tensor, "B T"]
    values: Float[Tensor, "B T"]
    advantages: Float[Tensor, "B T"]
    returns: Float[Tensor, "B T"]
