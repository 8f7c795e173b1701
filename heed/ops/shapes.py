"""Numbers of rows that recur, for products of matrices that are planned by their shape.

For every new shape oneDNN compiles a plan, in 1 to 6 ms on one thread, and keeps a thousand of
them. Batches of texts have another number of tokens each: a step's two dozen plans took longer than
its products at 1M weights, and a sixth of its time at 25M. So rows are added that nobody reads, and
a few steps later all plans are there.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

TRAINED = 16
"""Numbers of rows between two powers of 2 in training: 3% more rows, on average."""


def rounded(rows: int, grains: int = 8) -> int:
    """At least so many rows, of few numbers: beyond 4 `grains`, themselves a power of 2, one of so
    many between two powers of 2.
    """
    if rows <= 4 * grains:
        return rows
    grain = (1 << (rows - 1).bit_length() - 1) // grains
    return -(-rows // grain) * grain


def spare(rows: int, dtype: torch.dtype, device: torch.device) -> int:
    """Rows to add before a product in training: none where products are not planned by shape."""
    planned = dtype == torch.bfloat16 and device.type == "cpu"
    if not planned or not torch.backends.mkldnn.is_available():
        return 0
    return rounded(rows, TRAINED) - rows


def lengthened(x: Tensor, more: int) -> Tensor:
    """x [N, ...] with so many rows of zeros behind."""
    return pad(x, (*[0] * (2 * x.dim() - 1), more)) if more else x


def spare_documents(rows: int, longest: int) -> list[int]:
    """The lengths of documents that hold spare rows, none longer than the longest."""
    whole, rest = divmod(rows, longest)
    return [longest] * whole + [rest] * (rest > 0)
