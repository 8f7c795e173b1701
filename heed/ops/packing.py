"""Which documents share a forward pass, or a process: bin packing by tokens."""

from __future__ import annotations

from collections.abc import Sequence


def first_fit_decreasing(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Places of the documents in each bin of at most `capacity` tokens, in ascending order.

    The longest document first, each into the first bin with room, or else a new one: at most 11/9
    of the fewest bins, and a few more (Johnson 1973). One longer than a bin has a bin of its own.
    The same lengths give the same bins; of two of one length, the former goes first.
    """
    bins: list[list[int]] = []
    room: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        length = lengths[place]
        fit = next((at for at, free in enumerate(room) if free >= length), len(bins))
        if fit == len(bins):
            bins.append([])
            room.append(capacity)
        bins[fit].append(place)
        room[fit] -= length
    return [sorted(places) for places in bins]


def balanced(lengths: Sequence[int], bins: int) -> list[list[int]]:
    """Places of the documents in each of so many bins that hold about the same tokens, in ascending
    order.

    The longest document first, each into the bin that has the fewest tokens: the fullest bin has at
    most 4/3 of what it must (Graham 1969). Of bins that have the same, the first; so no bin stays
    empty where there are documents enough.
    """
    found: list[list[int]] = [[] for _ in range(bins)]
    full = [0] * bins
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        least = min(range(bins), key=lambda at: (full[at], len(found[at])))
        found[least].append(place)
        full[least] += lengths[place]
    return [sorted(places) for places in found]
