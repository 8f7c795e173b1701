"""Do the labels of one source stand the wrong way round, all of them or a share of their rows?

A label is right here where it is as others say: other labels of the same two answers, or what a
simple reward predicts that learned from the others alone. Where the others' own labels are right so
with the chance b, those of a source with a share q of its rows swapped are with

    a - 1/2 = (1 - 2 q) (b - 1/2),

and the gate trips where a source's a surely lies below that at q = `share`. Noisier labels, and
labels about something else, look the same: what is found is that a source says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from heed.gates.finding import Finding

FEWEST = 50
"""Prompts that a source's labels, and the others', speak of at least."""


@dataclass(frozen=True, slots=True)
class Hits:
    """Whether labels are as others say (1, 0, or a share between), and the prompt of each."""

    right: Sequence[float]
    prompts: Sequence[Hashable]

    @property
    def enough(self) -> bool:
        return len(set(self.prompts)) >= FEWEST


def swapped(
    sources: Mapping[str, tuple[Hits, Hits]], *, by: str, share: float, false_alarms: float
) -> Finding | None:
    """Whether the labels of any source are right too seldom, of all the sources there are.

    Args:
        sources: by source, its own labels and the others' own.
        by: who says what is right, in words.
        share: of a source's rows, which may be swapped.
        false_alarms: how often it trips where each source has just this share swapped.

    Returns:
        None where no source has enough labels beside enough others.
    """
    known = {name: both for name, both in sources.items() if both[0].enough and both[1].enough}
    if not known:
        return None
    found = {name: _below(own, rest, share) for name, (own, rest) in known.items()}
    worst = max(found, key=lambda name: found[name][0])
    t, dof = found[worst]
    threshold = float(stats.t.isf(false_alarms / len(found), dof))
    tripped = t >= threshold
    own, rest = known[worst]
    says = (
        f"The labels of {worst} are as {by} say in {np.mean(own.right):.1%} of {len(own.right):,} "
        f"cases, the others' in {np.mean(rest.right):.1%}."
    )
    if tripped:
        says += (
            " Rows of it, or of the others, stand the wrong way round, or it is about something "
            "else: read some of its rows, and see which column holds what was chosen."
        )
    return Finding("swapped", t, threshold, false_alarms, tripped, says)


def _below(own: Hits, rest: Hits, share: float) -> tuple[float, int]:
    """t of (a - 1/2) - (1 - 2 share) (b - 1/2) below 0, clustered by prompt, and its degrees of
    freedom.
    """
    a, b = (np.asarray(each.right, dtype=np.float64) for each in (own, rest))
    factor = 1 - 2 * share
    apart = float(factor * (b.mean() - 0.5) - (a.mean() - 0.5))
    numbers: dict[Hashable, int] = {}
    index = [numbers.setdefault(name, len(numbers)) for name in [*own.prompts, *rest.prompts]]
    parts = np.concatenate([(a - a.mean()) / len(a), -factor * (b - b.mean()) / len(b)])
    sums = np.bincount(np.array(index), weights=parts)
    groups = len(sums)
    error = math.sqrt(groups / (groups - 1) * float(sums @ sums))
    t = apart / error if error > 0 else math.copysign(math.inf, apart) if apart else 0.0
    return t, groups - 1
