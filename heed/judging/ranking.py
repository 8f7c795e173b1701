"""From verdicts on pairs to a ranking of all answers of an item."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from heed.recipe.rubric import Ruling
from heed.types import Item, Pair, Verdict


def round_robin(item: Item) -> list[Pair]:
    """All pairs of an item's answers, the earlier one on the left.

    An item of two answers keeps its id; of more, a pair is named "item/left-right".
    """
    places = list(combinations(range(len(item.answers)), 2))
    models = item.models or ("",) * len(item.answers)
    return [
        Pair(
            id=item.id if len(places) == 1 else f"{item.id}/{left}-{right}",
            prompt=item.prompt,
            left=item.answers[left],
            right=item.answers[right],
            left_model=models[left],
            right_model=models[right],
        )
        for left, right in places
    ]


def copeland(answers: int, verdicts: Sequence[Ruling]) -> Verdict:
    """The ranking by Copeland's score: pairs won less pairs lost; equal scores share a rank.

    `verdicts` are those of `round_robin`'s pairs. A pair without a side counts for nobody; where
    every pair says "both_bad", or every one "cannot_tell", so does the whole.
    """
    if len(set(verdicts)) == 1 and verdicts[0] in ("both_bad", "cannot_tell"):
        return verdicts[0]
    score = [0] * answers
    for (left, right), verdict in zip(combinations(range(answers), 2), verdicts, strict=True):
        if isinstance(verdict, int):
            won, lost = (left, right) if verdict <= 4 else (right, left)
            score[won] += 1
            score[lost] -= 1
    return tuple(1 + sum(other > own for other in score) for own in score)
