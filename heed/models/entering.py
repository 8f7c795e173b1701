"""Where a computation enters a model other than by its forward."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import nn

Found = TypeVar("Found")
ENTERED = "heed_entered"
"""Attribute of a sharded model: a function that gathers what it needs around a computation."""


def within(model: nn.Module, compute: Callable[[], Found]) -> Found:
    """`compute()`, which uses weights of a model without calling it; they are there if the model is
    sharded, too (`heed.models.sharding`).
    """
    entered: Callable[[Callable[[], Found]], Found] | None = vars(model).get(ENTERED)
    return compute() if entered is None else entered(compute)
