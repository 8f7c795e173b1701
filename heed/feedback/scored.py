"""A reward as a source of annotations: the better answer is the one that it scores higher."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from heed.types import Annotation, Completion, Item, RewardFn, Verdict

CHUNK = 256
"""Answers scored at a time, between two steps of the progress bar."""
EQUAL = 1e-6
"""Scores no further apart than this are a tie."""


class ScoreSource:
    """A `heed.types.Source` that ranks answers by a reward: the gold reward, a reward model.

    An answer's score does not depend on where it stands, so one order is enough. Equal answers to
    a prompt are scored once and tie.
    """

    kind = "reward"

    def __init__(self, name: str, reward: RewardFn) -> None:
        self.name = name
        self.reward = reward

    def ask(self, items: Sequence[Item], progress: Callable[[int], None]) -> list[Annotation]:
        """One ranking an item; of the progress, items are told by their answers' share."""
        answers = {
            (item.prompt.id, text): Completion(item.prompt, text)
            for item in items
            for text in item.answers
        }
        scores: dict[tuple[str, str], float] = {}
        keys = list(answers)
        for start in range(0, len(keys), CHUNK):
            some = keys[start : start + CHUNK]
            scores |= zip(some, self.reward([answers[key] for key in some]), strict=True)
            progress(len(items) * len(scores) // len(keys))
        return [
            Annotation(
                item.id,
                self.name,
                _ranks([scores[item.prompt.id, text] for text in item.answers]),
                source=self.kind,
                order=tuple(range(len(item.answers))),
            )
            for item in items
        ]

    def account(self) -> dict[str, object]:
        return {}


def _ranks(scores: Sequence[float]) -> Verdict:
    """1 + how many are better by more than EQUAL."""
    return tuple(1 + sum(other > own + EQUAL for other in scores) for own in scores)
