"""Rows divided over the processes that train together: micro-batches of each, results for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from jaxtyping import Float
from torch import Tensor

from heed.ops.batch import Batch, Sequences, in_parts
from heed.ranks import Ranks

Rows = TypeVar("Rows", bound=Batch)


def micro_batches(
    batch: Rows, tokens: int, *, packed: bool, alike: bool
) -> Iterator[tuple[Rows, bool]]:
    """This process's micro-batches of at most `tokens` tokens, and whether each counts.

    All processes hold the whole batch, and each gets about as many tokens of it. With `alike`, as
    sharded weights need it, all get equally many micro-batches: where one has fewer, the batch's
    shortest row goes through once more and does not count.
    """
    ranks = Ranks.here()
    if ranks.count == 1:
        for micro in batch.split(tokens, packed=packed):
            yield micro, True
        return
    shares = batch.shares(ranks.count, tokens, packed=packed)
    own = shares[ranks.rank]
    for index in own:
        yield batch.rows(index), True
    missing = max(map(len, shares)) - len(own) if alike else 0
    shortest = batch.cost().argmin()[None].cpu()
    for _ in range(missing):
        yield batch.rows(shortest), False


def in_shares(
    data: Sequences, tokens: int, compute: Callable[[Sequences], Tensor], *, packed: bool = False
) -> Float[Tensor, "B ..."]:
    """What `in_parts` gives, for all rows in every process, of which each computes its share.

    A row's numbers come from one process, and all hold the same to the bit.
    """
    ranks = Ranks.here()
    if ranks.count == 1:
        return in_parts(data, tokens, compute, packed=packed)
    if not len(data):
        raise ValueError("a batch without rows has no results")
    shares = data.shares(ranks.count, tokens, packed=packed)
    own = shares[ranks.rank]
    missing = max(map(len, shares)) - len(own)
    shortest = data.cost().argmin()[None].cpu()
    results: Tensor | None = None
    for index, counts in [*((each, True) for each in own), *[(shortest, False)] * missing]:
        part = compute(data.rows(index))
        if results is None:
            shape = (len(data), *data.ids.shape[1:], *part.shape[2:])
            results = part.new_zeros(shape[: part.ndim])
        if not counts:
            continue
        if part.ndim == 1:
            results[index] = part
        else:
            results[index, : part.shape[1]] = part
    assert results is not None, "every process computes one part at least"
    ranks.add([results])
    return results
