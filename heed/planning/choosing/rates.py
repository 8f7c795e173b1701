"""Learning rates: between those published for large models and those of Heed's own small ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from heed.planning.choosing.facts import said

SMALL = 3e6
"""Weights of the model of the recipe `hh`, whose rates are the lower end."""
LORA = 10.0
"""An adapter's rate relative to that of the whole model (Schulman et al. 2025, "LoRA Without
Regret": about ten times, over many models and data sets)."""
MOST = 1e-3
"""No adapter is given more."""


@dataclass(frozen=True, slots=True)
class Ends:
    """Peak rates at both ends: that of a large model with its source, and that of a small one."""

    large: float
    weights: float
    source: str
    small: float

    def rate(self, weights: float) -> float:
        """On the straight line through both ends in the logarithms; level beyond them."""
        span = math.log(self.weights / SMALL)
        place = min(1.0, max(0.0, math.log(weights / SMALL) / span))
        return float(math.exp((1 - place) * math.log(self.small) + place * math.log(self.large)))


RATES: Mapping[str, Ends] = {
    "sft": Ends(2e-5, 7e9, "Zephyr, arXiv:2310.16944", 3e-4),
    "reward": Ends(1e-5, 7e9, "Llama 2, arXiv:2307.09288", 2e-4),
    "dpo": Ends(5e-7, 7e9, "Zephyr, arXiv:2310.16944", 1e-4),
    "kto": Ends(1e-6, 7e9, "TRL's default", 1e-4),
    "ppo": Ends(3e-6, 6.9e9, "Huang et al. 2024, arXiv:2403.17031", 1e-4),
    "rloo": Ends(1e-6, 7e9, "TRL's default", 1e-4),
    "grpo": Ends(1e-6, 7e9, "DeepSeekMath, arXiv:2402.03300", 1e-4),
}
"""By the kind of stage."""


def rate(kind: str, weights: int, *, lora: bool) -> tuple[float, str]:
    """A stage's peak rate, in two digits, and why."""
    ends = RATES[kind]
    full = ends.rate(weights)
    low = f"{short(ends.small)} at {said(SMALL)} weights (Heed's recipe hh)"
    high = f"{short(ends.large)} at {said(ends.weights)} ({ends.source})"
    if weights <= SMALL:
        why = low
    elif weights >= ends.weights:
        why = high
    else:
        why = f"for {said(weights)} weights, between {low} and {high}"
    if lora:
        return _rounded(min(MOST, LORA * full)), f"{why}; ten times that, for an adapter"
    return _rounded(full), why


def short(value: float) -> str:
    """A rate as people write it: 5e-7."""
    return f"{value:.2g}".replace("e-0", "e-")


def _rounded(value: float) -> float:
    return float(f"{value:.1e}")
