"""Seconds by roofline (Williams et al. 2009, CACM 52(4), 65): work takes the longer of its
operations, the bytes of memory that it reads, and the bytes that ranks send each other.

All arguments are plain: operations, bytes, and what a device does a second of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from heed.planning.memory import WEIGHT
from heed.planning.ranks import REDUCED, root
from heed.planning.sizes import Size

LINK, COMPUTE, MEMORY = "link", "compute", "memory"


@dataclass(frozen=True, slots=True)
class Bound:
    """Seconds, and what they are bound by."""

    seconds: float = 0.0
    by: str = ""


def longest(**seconds: float) -> Bound:
    """The longest of what goes on at once."""
    by = max(seconds, key=lambda name: seconds[name])
    return Bound(seconds[by], by) if seconds[by] else Bound()


def busy(rows: float, ranks: int) -> float:
    """Share of the ranks' time that has a row to work on, where every rank gets whole rows."""
    share = max(1, -(-round(rows) // ranks))
    return min(1.0, max(1.0, rows) / (ranks * share))


def gathers(size: Size, width: int, *, backward: bool) -> float:
    """Bytes of whole units that a micro-batch gathers where models are sharded: every one forward,
    and again backward (Zhao et al. 2023, arXiv:2304.11277, section 3.2).
    """
    once = width * size.backbone + WEIGHT * root(size)
    return float(once * (2 if backward else 1))


def reduces(trained: float) -> float:
    """Bytes of the whole gradient, which is summed and scattered once a micro-batch where models
    are sharded, and summed and gathered (both) once a step where they are not.
    """
    return REDUCED * trained


def moving(bytes_: float, *, devices: int, nodes: int, link: float, network: float) -> float:
    """Seconds to gather so many bytes on every rank, or to sum and scatter them, along rings.

    A rank receives all parts but its own, (N - 1) / N of them; a node all parts of other nodes,
    (M - 1) / M, over as many links to the network as it has devices.
    """
    ranks = devices * nodes
    inside = bytes_ * (ranks - 1) / ranks / link if devices > 1 else 0.0
    outside = bytes_ * (nodes - 1) / nodes / (devices * network)
    return max(inside, outside)


def decoding_step(
    size: Size, rows: float, length: float, *, width: int, devices: int, flops: float,
    bandwidth: float, share: float,
) -> Bound:  # fmt: skip
    """One token for each of so many rows, by devices that share the model out among them: all
    weights and the keys and values of `length` tokens a row are read once (Pope et al. 2022,
    arXiv:2211.05102, section 2.1), and 2 operations a weight and row are done. What the devices say
    to each other meanwhile is in the share.
    """
    # Of the embeddings a step reads a row; a tied head is the same matrix, read whole.
    weights = size.backbone + size.head
    read = width * (weights + rows * length * 2 * size.layers * size.kv)
    return longest(
        memory=read / (devices * bandwidth * share),
        compute=2 * weights * rows / (devices * flops * share),
    )
