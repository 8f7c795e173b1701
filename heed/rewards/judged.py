"""A judge as a reward: each answer by itself, graded from 1 to 10."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from heed.errors import UserError
from heed.judging.grading import Grader
from heed.types import Completion


class JudgedReward:
    """A RewardFn that is the judge's grade.

    An answer without a grade after all tries scores `unreadable`, and `say` hears how many they
    were; where that is None such an answer stops the run.
    """

    def __init__(
        self,
        grader: Grader,
        *,
        unreadable: float | None,
        say: Callable[[str], None],
        seed: int = 0,
    ) -> None:
        self.grader = grader
        self.unreadable = unreadable
        self.say = say
        self.seed = seed

    def __call__(self, completions: Sequence[Completion]) -> list[float]:
        grades = self.grader.grade(completions, seed=self.seed)
        without = sum(grade.value is None for grade in grades)
        if without and self.unreadable is not None:
            self.say(
                f"{without} of {len(grades)} answers got no grade from the judge and score "
                f"{self.unreadable:g}."
            )
        return [
            self._without(each, grade.reply) if grade.value is None else float(grade.value)
            for each, grade in zip(completions, grades, strict=True)
        ]

    def _without(self, completion: Completion, reply: str) -> float:
        if self.unreadable is None:
            raise UserError(
                f"The judge gave no grade after {self.grader.retries + 1} tries. Prompt "
                f"{completion.prompt.id!r}, answer {completion.text!r}; its last reply: {reply!r}. "
                f"The reply's last line has to be {self.grader.rubric.marker} and a number from 1 "
                "to 10. Change the rubric or ask another model, or set `unreadable` to the score "
                "of such answers, and their number is reported."
            )
        return self.unreadable
