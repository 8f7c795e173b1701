"""The loss of imitation.

Dims: B rows, T tokens.
"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from heed.losses.term import Term
from heed.ops.masked import masked_sum


def cross_entropy(
    logprobs: Float[Tensor, "B T"],
    target: Bool[Tensor, "B T"],
    weight: Float[Tensor, "B"] | None = None,
) -> list[Term]:
    """-weight * log p(token) over the target tokens, in nats; each row's weight defaults to 1."""
    nll = -logprobs if weight is None else -logprobs * weight[:, None]
    return [Term("nll", masked_sum(nll, target), "tokens")]
