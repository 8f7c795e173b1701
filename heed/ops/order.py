"""Which rows make up an optimiser step: seeded, reshuffled every epoch, without any state."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from heed.run import derive_seed


@dataclass(frozen=True)
class Order:
    """Batches of `batch` out of `rows` rows; the i-th is a function of the seed and i alone.

    Every row is drawn once an epoch; a batch may reach over into the next epoch, so that all
    batches have one size.
    """

    rows: int
    batch: int
    seed: int

    def steps(self, epochs: float) -> int:
        """Batches that make up so many epochs, at least one."""
        return max(1, round(epochs * self.rows / self.batch))

    def indices(self, step: int) -> Int[Tensor, "batch"]:
        """The rows of batch number `step`, counted from 0."""
        first = step * self.batch
        wanted = torch.arange(first, first + self.batch)
        epochs = range(first // self.rows, int(wanted[-1]) // self.rows + 1)
        permutations = torch.stack([self._permutation(epoch) for epoch in epochs])
        return permutations.flatten()[wanted - epochs[0] * self.rows]

    def _permutation(self, epoch: int) -> Int[Tensor, "rows"]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, epoch))
        return torch.randperm(self.rows, generator=generator)
