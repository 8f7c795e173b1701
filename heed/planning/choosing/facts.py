"""What the rules go by: the model, the machine, the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Sort = str
"""Of data: "comparisons", "unpaired" or "demonstrations"."""
BILLION, MILLION = 1e9, 1e6


@dataclass(frozen=True, slots=True)
class Facts:
    """A model, a machine and data, as far as the rules look at them.

    `rows`: usable rows by sort. `prompts` and `answers`: tokens of some rows, pairwise; an answer's
    with what ends it.
    """

    model: str
    weights: int
    positions: int | None
    """The longest text that the model can read; None where it sets no limit."""
    templated: bool
    """Whether its tokenizer brings a chat template."""
    cuda: bool
    half: bool
    """Whether the device computes in bfloat16 by itself."""
    rows: Mapping[Sort, int]
    asked: int
    """Different prompts."""
    prompts: Sequence[int]
    answers: Sequence[int]
    desirable: int = 0
    """Of the unpaired answers."""
    held: int = 0
    """Of the prompts, that the data hold out themselves."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the user's, as `--set` names them, by which other choices go."""

    def has(self, sort: Sort) -> bool:
        return self.rows.get(sort, 0) > 0

    @property
    def whole(self) -> list[int]:
        """Tokens of prompts and answers together."""
        return [prompt + answer for prompt, answer in zip(self.prompts, self.answers, strict=True)]


@dataclass(frozen=True, slots=True)
class Reason:
    """A setting of a recipe, as `--set` names it; its value; and why it has that one.

    What only says how stages hang together has no reason.
    """

    setting: str
    value: Any
    why: str = ""


def percentile(values: Sequence[int], share: float) -> int:
    """The smallest of the values that so large a share of them does not exceed."""
    return int(np.quantile(np.array(values), share, method="inverted_cdf"))


def said(weights: float) -> str:
    """A number of weights in three letters."""
    unit, letter = (BILLION, "B") if weights >= BILLION else (MILLION, "M")
    return f"{weights / unit:.3g}{letter}"
