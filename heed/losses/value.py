"""The loss of a value model.

Dims: B rows, T tokens. `target` marks the completion's tokens; nothing else counts.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heed.losses.term import Term
from heed.ops.masked import masked_sum


def clipped_value(
    values: Float[Tensor, "B T"],
    old_values: Float[Tensor, "B T"],
    returns: Float[Tensor, "B T"],
    target: Bool[Tensor, "B T"],
    *,
    clip: float,
    coef: float,
) -> list[Term]:
    """1/2 max((V - R)^2, (clamp(V, V_old - clip, V_old + clip) - R)^2), weighted by coef.

    As in openai/lm-human-preferences. Beside it, as a measurement: "value_clip_fraction", the
    tokens where the clipped error is the larger one and stops the gradient.
    """
    near = torch.clamp(values, old_values - clip, old_values + clip)
    free = (values - returns).square()
    clipped = (near - returns).square()
    bites = (clipped > free).to(values.dtype)
    total = masked_sum(torch.maximum(free, clipped) / 2, target)
    return [
        Term("value_loss", total, "tokens", weight=coef),
        Term("value_clip_fraction", masked_sum(bites, target), "tokens", weight=0.0),
    ]
