"""From annotations to comparisons: what a verdict is worth in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from heed.types import Annotation, Comparison, Pair

MARGINS = {1: 1.0, 2: 2 / 3, 3: 1 / 3, 4: 0.0}
"""Margin by strength of preference (Llama 2, arXiv:2307.09288, table 27, small)."""


def strength(grade: int) -> int:
    """1 (significantly) to 4 (negligibly), whichever side is preferred."""
    return min(grade, 9 - grade)


def comparisons(annotations: Sequence[Annotation], pairs: Mapping[str, Pair]) -> list[Comparison]:
    """One comparison an annotation that prefers a side, with margin and weight 1.

    Verdicts without a side (tie, both bad, cannot tell) make none: the tie policy "drop".
    """
    made = []
    for annotation in annotations:
        if annotation.prefers_left is None or not isinstance(annotation.verdict, int):
            continue
        pair = pairs[annotation.item]
        left, right = pair.left, pair.right
        chosen, rejected = (left, right) if annotation.prefers_left else (right, left)
        made.append(
            Comparison(
                prompt=pair.prompt,
                chosen=chosen,
                rejected=rejected,
                margin=MARGINS[strength(annotation.verdict)],
                annotator=annotation.annotator,
            )
        )
    return made
