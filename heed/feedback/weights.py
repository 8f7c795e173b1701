"""How much an annotator's comparisons count in training, by how reliable the annotator is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from heed.feedback.quality import reliabilities
from heed.types import Annotation, Item

CERTAIN = 0.99
"""Reliability is cut here: nobody's vote outweighs everyone else's."""


def reliability_weights(
    annotations: Sequence[Annotation], items: Mapping[str, Item]
) -> dict[str, float]:
    """A weight an annotator, of mean 1 over the annotations.

    The log-odds of being right, log p / (1 - p), is the weight of a vote in the likelihood of
    independent voters (Nitzan & Paroush 1982); who is no better than a coin gets 0.
    """
    odds = {
        name: max(0.0, _log_odds(min(p, CERTAIN)))
        for name, p in reliabilities(annotations, items).items()
    }
    mean = sum(odds[said.annotator] for said in annotations) / max(1, len(annotations))
    return {name: weight / mean if mean > 0 else 1.0 for name, weight in odds.items()}


def _log_odds(p: float) -> float:
    return math.log(p / (1 - p))
