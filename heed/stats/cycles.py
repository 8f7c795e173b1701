"""Circles in preferences: A is preferred to B, B to C, and C to A.

Of every three that were all compared, the majorities either order them or go round. How many go
round is held against two kinds of chance: coins, which go round in a quarter of all threes, and
Bradley and Terry's model of the same votes, which has an order and only noise to break it.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.special import expit

from heed.stats.ratings import SCALE, bradley_terry

Votes = NDArray[np.int64]
RESAMPLES = 1000
RIDGE = 0.5
"""Keeps ratings finite where somebody won every vote; a few votes outweigh it."""
_CELLS = 20_000_000


@dataclass(frozen=True, slots=True)
class Cycles:
    """Threes of which all pairs have a majority, and how many of them go round.

    `by_coin` and `by_order` are the numbers that chance alone would give of as many, with the share
    of draws that are as extreme: fewer than coins (there is an order), more than an order with
    noise (there is none that all votes share).
    """

    triads: int
    cyclic: int
    by_coin: float
    below_coin: float
    by_order: float
    above_order: float


def cycles(
    left: Sequence[Hashable],
    right: Sequence[Hashable],
    scores: Sequence[float],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Cycles | None:
    """Circular triads (Kendall & Babington Smith 1940) of majorities, against chance.

    A pair's majority is the sign of its wins less its losses; a pair at par is undecided and its
    threes are left out, drawn ones alike. Each draw gives every vote that was no tie anew, by a
    fair coin or by sigmoid(theta_a - theta_b) with the ratings of all who stand in a three (a
    parametric bootstrap, with a ridge of 1/2), and takes the share that goes round again: of a
    draw, too, only threes without a pair at par. p-values are (1 + as extreme) / (1 + draws).

    Args:
        left: the left one of each vote.
        right: the right one.
        scores: the left one's score: 1 won, 0 lost, .5 a tie.
        resamples: draws of each kind.
        seed: of the draws.

    Returns:
        None where no three were all compared.

    Raises:
        ValueError: the lengths differ.
    """
    tallied, decided, margin = _tallied(left, right, scores)
    triads, turns = _triads(list(tallied))
    if not len(triads):
        return None
    used, triads = np.unique(triads, return_inverse=True)
    pairs, decided, margin = [list(tallied)[at] for at in used], decided[used], margin[used]
    chances = _chances(left, right, scores, pairs)
    rng = np.random.default_rng(seed)
    # Fancy indexing and draws go in chunks: llmfao's sixty models make some thirty thousand threes.
    rows = max(1, _CELLS // (3 * len(triads)))
    shares: list[list[float]] = [[], []]
    for start in range(0, resamples, rows):
        size = (min(rows, resamples - start), len(pairs))
        for drawn, p in zip(shares, (np.full(len(pairs), 0.5), chances), strict=True):
            wins = rng.binomial(decided, p, size=size)
            drawn.extend(_share(*_round(np.sign(2 * wins - decided), triads, turns)).tolist())
    seen, cyclic = _round(np.sign(margin)[None], triads, turns)
    coin, order, share = np.array(shares[0]), np.array(shares[1]), _share(seen, cyclic)
    return Cycles(
        triads=int(seen[0]),
        cyclic=int(cyclic[0]),
        by_coin=float(coin.mean() * seen[0]),
        below_coin=float((1 + (coin <= share).sum()) / (1 + resamples)),
        by_order=float(order.mean() * seen[0]),
        above_order=float((1 + (order >= share).sum()) / (1 + resamples)),
    )


def _tallied(
    left: Sequence[Hashable], right: Sequence[Hashable], scores: Sequence[float]
) -> tuple[dict[tuple[Hashable, Hashable], int], Votes, Votes]:
    """The pairs that met, their votes that are no ties, and wins less losses of each."""
    pairs: dict[tuple[Hashable, Hashable], int] = {}
    decided: list[int] = []
    margin: list[int] = []
    for a, b, score in zip(left, right, scores, strict=True):
        turned = (b, a) in pairs
        sign = int(np.sign(score - 0.5)) * (-1 if turned else 1)
        at = pairs.setdefault((b, a) if turned else (a, b), len(pairs))
        if at == len(decided):
            decided.append(0)
            margin.append(0)
        decided[at] += abs(sign)
        margin[at] += sign
    return pairs, np.array(decided, dtype=np.int64), np.array(margin, dtype=np.int64)


def _triads(pairs: Sequence[tuple[Hashable, Hashable]]) -> tuple[Votes, Votes]:
    """The three pairs of every three that met, and the sign that turns each the same way round."""
    at = {pair: (index, 1) for index, pair in enumerate(pairs)}
    at |= {(b, a): (index, -1) for index, (a, b) in enumerate(pairs)}
    met: dict[Hashable, dict[Hashable, None]] = {}
    for a, b in at:
        met.setdefault(a, {})[b] = None
    place = {name: index for index, name in enumerate(met)}
    rows = [
        (at[a, b], at[b, c], at[c, a])
        for a in met
        for b in met[a]
        if place[b] > place[a]
        for c in met[b]
        if place[c] > place[b] and c in met[a]
    ]
    both = np.array(rows, dtype=np.int64).reshape(len(rows), 3, 2)
    return both[..., 0], both[..., 1]


def _round(signs: Votes, triads: Votes, turns: Votes) -> tuple[Votes, Votes]:
    """Of each row of majorities: the threes that are decided, and those that go round."""
    turned = signs[:, triads] * turns
    decided = (turned != 0).all(axis=-1).sum(axis=-1)
    return decided, (np.abs(turned.sum(axis=-1)) == 3).sum(axis=-1)


def _share(decided: Votes, cyclic: Votes) -> NDArray[np.float64]:
    return cyclic / np.maximum(decided, 1)


def _chances(
    left: Sequence[Hashable],
    right: Sequence[Hashable],
    scores: Sequence[float],
    pairs: Sequence[tuple[Hashable, Hashable]],
) -> NDArray[np.float64]:
    """The first one's chance in each pair, by the ratings of all who stand in a three."""
    there = {name for pair in pairs for name in pair}
    votes = zip(left, right, scores, strict=True)
    rows = [(a, b, score) for a, b, score in votes if a in there and b in there]
    theta = _ratings([a for a, _, _ in rows], [b for _, b, _ in rows], [s for _, _, s in rows])
    chances: NDArray[np.float64] = expit([theta[a] - theta[b] for a, b in pairs])
    return chances


def _ratings(
    left: Sequence[Hashable], right: Sequence[Hashable], scores: Sequence[float]
) -> dict[Hashable, float]:
    """Bradley-Terry's theta of everyone, each part that never met the others by itself."""
    at = {name: index for index, name in enumerate(dict.fromkeys([*left, *right]))}
    a, b = (np.array([at[name] for name in side]) for side in (left, right))
    graph = sparse.coo_array((np.ones(len(a)), (a, b)), shape=(len(at), len(at)))
    _, part = connected_components(graph, directed=False)
    order = np.argsort(part[a], kind="stable")
    theta = np.zeros(len(at))
    for rows in np.split(order, np.flatnonzero(np.diff(part[a][order])) + 1):
        found = bradley_terry(
            a[rows].astype(str).tolist(),
            b[rows].astype(str).tolist(),
            np.asarray(scores)[rows],
            errors="fisher",
            ridge=RIDGE,
        )
        for rating in found:
            theta[int(rating.name)] = rating.rating / SCALE
    return dict(zip(at, theta.tolist(), strict=True))
