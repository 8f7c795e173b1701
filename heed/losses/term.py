"""What a loss returns: sums that say what they count, never means."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Term:
    """One summand of an objective: weight * total / (what `count` names, over the whole batch).

    `count` is a key of `Batch.counts()` ("rows", "tokens", ...). Only the trainer divides, by the
    count of the whole batch over all ranks, so that any split into micro-batches gives the same
    gradient, also where an objective has two denominators. A term of weight 0 is a measurement:
    it is averaged the same way and logged, and carries no gradient.
    """

    name: str
    total: Float[Tensor, ""]
    count: str
    weight: float = 1.0
