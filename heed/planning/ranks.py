"""What one of several processes holds, part by part, whole or sharded over all of them.

Sharded (FSDP, Zhao et al. 2023, arXiv:2304.11277; stage 3 of ZeRO, Rajbhandari et al. 2020,
arXiv:1910.02054, section 5.3): of weights, gradients and AdamW's moments a rank holds one part in
N; for the time of its use a unit is gathered whole. Units are the layers, in the width of
activations, and the root, in float32: embeddings, head and the last norm. The root stays from its
forward to the end of its backward pass; of the layers the one that computes and the one fetched
ahead are there.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from heed.planning.memory import (
    LOGITS,
    VOCABULARY,
    WEIGHT,
    Holds,
    Trains,
    drawing,
    kept_for_backward,
    seeing,
)
from heed.planning.sizes import Size

GRADIENT, MOMENTS = 4, 8
"""Bytes a weight that trains: its gradient; AdamW's two moments."""
REDUCED = 4
"""Bytes of a gradient that is summed over the ranks, in float32 whatever the activations are."""
AHEAD = 2
"""Layers that are gathered at once."""


@dataclass(frozen=True, slots=True)
class Way:
    """What a training stage may do to hold less: the settings `shard` and
    `checkpoint_activations`.
    """

    shard: bool = False
    recompute: bool = False


WAYS = (Way(), Way(shard=True), Way(recompute=True), Way(shard=True, recompute=True))
"""From what costs nothing to what costs most: a half more bytes sent, a third more operations."""


@dataclass(frozen=True, slots=True)
class RankMemory:
    """Bytes of one process by what they hold. `weights`, `gradients` and `moments` are those of
    what trains first (the policy), its frozen base among the weights; `value` is all three of a
    critic.
    """

    weights: float = 0.0
    gradients: float = 0.0
    moments: float = 0.0
    reference: float = 0.0
    reward: float = 0.0
    value: float = 0.0
    others: float = 0.0
    """Models that only answer or score, what a process holds of itself, and beside servers the
    whole policy as the first process keeps it for them where it lies in shards."""
    gathered: float = 0.0
    """Units that are whole for a while, and their gradients."""
    activations: float = 0.0
    logits: float = 0.0
    drawing: float = 0.0
    """While answers are drawn in this process: the cache, logits, the weights as the decoder lays
    them out, and where they lie in shards a whole policy."""

    @property
    def total(self) -> float:
        """At once: a pass that learns and one that draws do not meet."""
        passing = self.gathered + self.activations + self.logits
        kept = sum(getattr(self, each.name) for each in fields(self)[:7])
        return float(kept + max(passing, self.drawing))

    def to_json(self) -> dict[str, float]:
        return {each.name: round(getattr(self, each.name)) for each in fields(self)}


def rank_memory(
    holds: Holds, ranks: int, way: Way, *, width: int, process: float = 0.0, drawn_here: bool = True
) -> RankMemory:
    """The bytes of one of so many ranks; `drawn_here`: whether it draws answers itself."""
    parts = ranks if way.shard else 1
    first, others = list(holds.trains[:1]), list(holds.trains[1:])
    kept: dict[str, float] = {"others": process}
    for at, size in enumerate(holds.kept):
        role = holds.roles[at] if at < len(holds.roles) else "others"
        kept[role] = kept.get(role, 0.0) + WEIGHT * size.weights / parts
    trained = sum(each.trained for each in first)
    sizes = [each.size for each in holds.trains] + list(holds.kept)
    learnt = kept_for_backward(holds, width, anew=way.recompute, cast=parts == 1)
    seen = max((seeing(size, width) for size in sizes), default=0.0) * holds.sees
    words = max((min(size.vocabulary, VOCABULARY) for size in sizes), default=0)
    draws = holds.draws if drawn_here else (0, 0)
    copied = WEIGHT * max((size.weights for size in sizes), default=0) if parts > 1 else 0
    if not drawn_here and holds.draws[0]:
        kept["others"] = kept.get("others", 0.0) + copied
    return RankMemory(
        weights=WEIGHT * (trained + sum(each.frozen for each in first)) / parts,
        gradients=GRADIENT * trained / parts,
        moments=MOMENTS * trained / parts,
        value=sum(_standing(each) for each in others) / parts,
        gathered=gathered(holds, width) if parts > 1 else 0.0,
        activations=max(learnt, seen),
        logits=holds.learns * holds.target * words * 4 * LOGITS,
        drawing=drawing(sizes, *draws, width) + (copied if draws[0] else 0),
        **kept,
    )


def gathered(holds: Holds, width: int) -> float:
    """Bytes of the units that are whole at once: of the largest model that only answers, or of all
    that train (one backward pass goes through them) the roots, two layers of one, and the gradients
    of what trains, with the copy that is summed over the ranks.
    """
    kept = [WEIGHT * root(size) + whole_layers(size, width) for size in holds.kept]
    full = [each.size for each in holds.trains if each.rank is None]
    roots = sum(WEIGHT * root(each.size) for each in holds.trains)
    roots += sum(GRADIENT * root(size) for size in full)
    layers = max((whole_layers(each.size, width) for each in holds.trains), default=0)
    layers += max((layer_gradients(size, width) for size in full), default=0)
    return float(max([*kept, roots + layers]))


def layer(size: Size) -> int:
    """Weights of one layer."""
    return size.backbone // size.layers


def root(size: Size) -> int:
    """Weights of what is no layer: embeddings, the head, positions."""
    return size.weights - size.backbone


def whole_layers(size: Size, width: int) -> int:
    """Bytes of the layers' weights that are gathered at once."""
    return width * min(AHEAD, size.layers) * layer(size)


def layer_gradients(size: Size, width: int) -> int:
    """Bytes of a layer's whole gradients, beside the root's, which collect all through the backward
    pass, and of the copy of the larger one that is summed.
    """
    return width * layer(size) + REDUCED * max(root(size), layer(size))


def _standing(each: Trains) -> float:
    """Bytes of a model that trains, unsharded: weights, gradients, moments and its frozen base."""
    return (WEIGHT + GRADIENT + MOMENTS) * each.trained + WEIGHT * each.frozen
