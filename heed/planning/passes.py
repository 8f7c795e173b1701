"""What goes through a model: tokens by how they go, and the operations that costs.

A token costs 2 operations a weight forward, and 4 backward: 6 N D for training on D tokens, 2 N D
for a forward pass or for D tokens drawn (Kaplan et al. 2020, arXiv:2001.08361, section 2.1). Under
LoRA the base has no gradient of its own, and costs 4 where it is trained through. N is what a token
is multiplied with: all matrices, the head only where logits are asked for, no embeddings.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from heed.planning.sizes import Size

How = Literal["trained", "forwarded", "sampled"]
HOWS: tuple[How, ...] = ("trained", "forwarded", "sampled")
FORWARD, TRAINED, FROZEN = 2.0, 6.0, 4.0
"""Operations a weight and token: forward alone; with both gradients; with that of what went in."""


@dataclass(frozen=True, slots=True)
class Pass:
    """Tokens that go through the model that a stage called `root` begins; `head` of them are asked
    for logits, `rank` is that of the LoRA adapter that is trained in place of the whole.
    """

    how: How
    tokens: float
    head: float
    root: str
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """What a stage will do. `words`: to be read for one label; `steps`: of the optimiser."""

    prompts: float = 0.0
    answers: float = 0.0
    labels: float = 0.0
    words: float = 0.0
    passes: tuple[Pass, ...] = ()
    steps: float = 0.0

    def tokens(self, how: How) -> float:
        """Tokens that go one way, through whichever model."""
        return sum(each.tokens for each in self.passes if each.how == how)


def operations(each: Pass, size: Size) -> float:
    """Floating-point operations of a pass through a model of this size."""
    if each.how != "trained":
        return FORWARD * (each.tokens * size.backbone + each.head * size.head)
    if each.rank is None:
        return TRAINED * (each.tokens * size.backbone + each.head * size.head)
    base = FROZEN * (each.tokens * size.backbone + each.head * size.head)
    return base + TRAINED * each.tokens * size.adapter(each.rank)


def again(each: Pass, size: Size) -> float:
    """Operations of a training pass beyond that, where its layers are computed anew for their
    backward pass; what the last product of a layer gives is not needed there, except by an adapter.
    """
    last = size.layers * size.hidden * size.mlp
    weights = size.backbone - last if each.rank is None else size.backbone + size.adapter(each.rank)
    return FORWARD * each.tokens * weights


def together(passes: Iterable[Pass]) -> tuple[Pass, ...]:
    """Passes of one kind added up; those without tokens left out."""
    found: dict[tuple[How, str, int | None], Pass] = {}
    for each in passes:
        key = (each.how, each.root, each.rank)
        known = found.get(key, Pass(each.how, 0.0, 0.0, each.root, each.rank))
        found[key] = Pass(
            each.how, known.tokens + each.tokens, known.head + each.head, each.root, each.rank
        )
    return tuple(each for each in found.values() if each.tokens)
