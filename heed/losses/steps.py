"""The loss of process reward models: every step of an answer is right or wrong.

Dims: B rows, T tokens.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from heed.losses.term import Term
from heed.ops.masked import masked_sum


def step_correctness(
    scores: Float[Tensor, "B T"], right: Float[Tensor, "B T"], ends: Bool[Tensor, "B T"]
) -> list[Term]:
    """-(y log sigmoid(r) + (1 - y) log sigmoid(-r)) at each step's end, y = 1 for a right step.

    Lightman et al. 2023 (arXiv:2305.20050), section 2.4 and appendix F: the label of a step is
    predicted at its last token. Beside it, as a measurement, "accuracy": the share of steps on the
    right side of 0 (0 itself counts half).
    """
    loss = -(right * logsigmoid(scores) + (1 - right) * logsigmoid(-scores))
    agreed = (torch.sign((2 * right - 1) * scores.detach()) + 1) / 2
    return [
        Term("step_correctness", masked_sum(loss, ends), "steps"),
        Term("accuracy", masked_sum(agreed, ends), "steps", weight=0.0),
    ]
