"""A few of the answers that a policy gradient draws as it learns, for who watches or looks back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from heed.policies.policy_gradient import PolicyGradient
from heed.run import FRESH, StageRun
from heed.trainer import Metrics

EVERY = 5
"""Iterations between two looks at least."""
LOOKS = 50
"""Looks in a training at most, its first iteration apart."""
ANSWERS = 4
"""Answers kept of a look."""
LONGEST = 1500
"""Characters kept of a prompt and of an answer."""


class Drawn:
    """A trainer's callback that keeps some answers of the round just learned from: nothing is
    sampled for it. What is kept follows from the round alone, so a resumed run keeps the same.

    So a file holds (LOOKS + 1) * ANSWERS rows at most, of two texts of LONGEST characters each.
    """

    def __init__(self, place: StageRun, method: PolicyGradient, iterations: int) -> None:
        self.place = place
        self.method = method
        self.every = looks_every(iterations)

    def __call__(self, step: int, metrics: Metrics) -> None:
        if step == 1 or step % self.every == 0:
            self.place.note(FRESH, self._rows(step))

    def _rows(self, step: int) -> list[dict[str, Any]]:
        drawn = self.method.round
        return [
            {
                "step": step,
                "prompt": _cut(drawn.completions[at].prompt.text),
                "family": drawn.completions[at].prompt.family,
                "answer": _cut(drawn.completions[at].text),
                "finished": drawn.completions[at].finish == "stop",
                "reward": _finite(drawn.rewards[at]),
                "kl": _finite(drawn.kl[at]),
            }
            for at in _spread(drawn.completions, ANSWERS)
        ]


def looks_every(iterations: int) -> int:
    """Iterations between two looks, so that a long training is looked at no oftener in all."""
    return max(EVERY, math.ceil(iterations / LOOKS))


def _spread(items: Sequence[object], most: int) -> list[int]:
    """Places evenly over all: the answers to one prompt stand together."""
    count = min(len(items), most)
    return [place * len(items) // count for place in range(count)]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
