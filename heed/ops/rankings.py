"""A batch of rankings: K answers to each prompt and their ranks.

Dims: B rankings, K answers, T tokens; see `heed.ops.batch` for the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from heed.ops.batch import Batch, Sequences


@dataclass(frozen=True)
class Rankings(Batch):
    """Rank 1 is the best, equal ranks are ties, 0 marks a place without an answer (a ranking of
    fewer than K), whose mask is empty.
    """

    ids: Int[Tensor, "B K T"]
    mask: Bool[Tensor, "B K T"]
    target: Bool[Tensor, "B K T"]
    ranks: Int[Tensor, "B K"]
    weight: Float[Tensor, "B"]

    @classmethod
    def of(
        cls,
        answers: Sequence[Sequence[tuple[Sequence[int], Sequence[int]]]],
        ranks: Sequence[Sequence[int]],
        weight: Sequence[float],
        pad: int,
    ) -> Rankings:
        """From the (prompt ids, completion ids) of each ranking's answers, and their ranks."""
        places = max(map(len, answers))
        filled = [[*row, *[((), ())] * (places - len(row))] for row in answers]
        flat = Sequences.of([answer for row in filled for answer in row], pad)
        shape = (len(answers), places, -1)
        return cls(
            ids=flat.ids.view(shape),
            mask=flat.mask.view(shape),
            target=flat.target.view(shape),
            ranks=torch.tensor([[*row, *[0] * (places - len(row))] for row in ranks]),
            weight=torch.tensor(weight),
        )

    @property
    def present(self) -> Bool[Tensor, "B K"]:
        """Where there is an answer."""
        return self.ranks > 0

    @property
    def answers(self) -> Sequences:
        """The answers that there are, row by row, for one forward pass."""
        here = self.present
        return Sequences(self.ids[here], self.mask[here], self.target[here])

    def counts(self) -> dict[str, float]:
        return {**super().counts(), "weight": float(self.weight.sum())}

    def cost(self) -> Int[Tensor, "B"]:
        return self.mask.sum((1, 2))

    def room(self, *, packed: bool) -> Int[Tensor, "B"]:
        # All answers go through one forward pass, packed or padded to the longest.
        if packed:
            return self.cost()
        return self.present.sum(1) * self.mask.sum(2).amax(1)

    def rows(self, index: Tensor) -> Rankings:
        chosen = super().rows(index)
        width = max(1, int(chosen.mask.sum(2).max())) if len(chosen) else 1
        return replace(
            chosen,
            ids=chosen.ids[..., :width],
            mask=chosen.mask[..., :width],
            target=chosen.target[..., :width],
        )
