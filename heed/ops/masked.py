"""Statistics over the true entries of a mask.

Dims: `shape` is any shape, shared by a tensor and its mask.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def masked_sum(x: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Sum over the true entries; what stands outside may be anything, NaN included."""
    return torch.where(mask, x, 0.0).sum()


def masked_mean(x: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Mean over the true entries, 0 where there is none."""
    return masked_sum(x, mask) / mask.sum().clamp(min=1)


def masked_var(x: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Biased variance over the true entries, 0 where there is none."""
    return masked_mean(_deviation(x, mask).square(), mask)


def whiten(
    x: Float[Tensor, "*shape"],
    mask: Bool[Tensor, "*shape"],
    *,
    shift_mean: bool = True,
    eps: float = 1e-8,
) -> Float[Tensor, "*shape"]:
    """(x - mean) / sqrt(var + eps) over the true entries, 0 outside; plus the mean if not shifted.

    As in openai/lm-human-preferences: rewards keep their mean (`shift_mean=False`), advantages lose
    it. Equal entries whiten to exactly 0 (or to their mean).
    """
    deviation = _deviation(x, mask)
    white = deviation * torch.rsqrt(masked_mean(deviation.square(), mask) + eps)
    if not shift_mean:
        white = white + masked_mean(x, mask)
    return torch.where(mask, white, 0.0)


def _deviation(x: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """X minus its mean, measured from the smallest entry: exactly 0 where all are equal.

    In float32 the mean of seven .1 is not .1, and whitening would blow the rounding up.
    """
    lowest = torch.where(mask, x, torch.inf).min().detach()
    above = x - lowest
    return above - masked_mean(above, mask)
