"""Settings of weak-to-strong generalisation: who labels, and what of the gap is recovered."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from heed.recipe.base import Stage, StageName


class Relabel(Stage):
    """The pairs of other comparisons, judged anew by a reward model or by the gold reward."""

    kind: ClassVar[str] = "relabel"
    comparisons: StageName = "collect"
    """Stage whose pairs they are."""
    reward: StageName | None = None
    """Reward stage whose probabilities become soft labels; null asks the world's gold reward."""

    def inputs(self) -> list[str]:
        return [self.comparisons, *([self.reward] if self.reward else [])]


class WeakToStrong(Stage):
    """What share of the gap between weak supervision and the truth students recover."""

    kind: ClassVar[str] = "weak_to_strong"
    weak: StageName = "weak"
    """Reward stage of the supervisor."""
    students: list[StageName] = Field(["student"], min_length=1)
    """Reward stages trained on the supervisor's labels."""
    ceiling: StageName = "ceiling"
    """Reward stage of the students' model on true labels."""
    comparisons: StageName = "collect"
    """Stage whose held-out pairs say who is right."""

    def inputs(self) -> list[str]:
        return list(dict.fromkeys([self.weak, *self.students, self.ceiling, self.comparisons]))
