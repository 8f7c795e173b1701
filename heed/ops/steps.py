"""A batch of answers in steps, each step right or wrong.

Dims: B rows, T tokens; see `heed.ops.batch` for the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heed.ops.batch import Sequences


@dataclass(frozen=True)
class Steps(Sequences):
    """`ends` marks the last token of each step, `right` holds 1 there for a right step, else 0."""

    ends: Bool[Tensor, "B T"]
    right: Float[Tensor, "B T"]

    @classmethod
    def labelled(
        cls,
        rows: Sequence[tuple[Sequence[int], Sequence[int]]],
        ends: Sequence[Sequence[int]],
        right: Sequence[Sequence[bool]],
        pad: int,
    ) -> Steps:
        """(prompt ids, completion ids) rows; the places of the steps' ends count from the
        completion's first token.
        """
        plain = Sequences.of(rows, pad)
        marked = torch.zeros(plain.ids.shape, dtype=torch.bool)
        label = torch.zeros(plain.ids.shape)
        for row, ((prompt, _), places, labels) in enumerate(zip(rows, ends, right, strict=True)):
            for place, good in zip(places, labels, strict=True):
                marked[row, len(prompt) + place] = True
                label[row, len(prompt) + place] = float(good)
        return cls(plain.ids, plain.mask, plain.target, marked, label)

    def counts(self) -> dict[str, float]:
        return {**super().counts(), "steps": float(self.ends.sum())}
