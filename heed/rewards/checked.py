"""No reward is taken on trust: an exception or a number that is none never becomes a score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

from heed.errors import UserError
from heed.types import Completion, RewardFn


class CheckedReward:
    """A RewardFn that passes on another's scores, 0 among them, and reports what is none.

    Raises UserError with the prompt and the answer where the other raises an exception (of a batch,
    the first answer that makes it do so alone), or gives NaN, an infinity, or no number.
    """

    def __init__(self, name: str, reward: RewardFn) -> None:
        self.name = name
        self.reward = reward

    def __call__(self, completions: Sequence[Completion]) -> list[float]:
        try:
            scores: list[Any] = list(self.reward(completions))
        except UserError:
            raise
        except Exception as error:
            raise self._failed(completions, error) from error
        if len(scores) != len(completions):
            raise UserError(
                f"The reward {self.name!r} gave {len(scores)} scores for {len(completions)} "
                "answers; it has to give one a completion, in their order."
            )
        for score, completion in zip(scores, completions, strict=True):
            if not isinstance(score, Real) or not math.isfinite(score):
                raise self._report(f"gave {score!r}", completion)
        return [float(score) for score in scores]

    def _failed(self, completions: Sequence[Completion], error: Exception) -> UserError:
        for completion in completions:
            try:
                self.reward([completion])
            except Exception as alone:
                return self._report(f"raised {type(alone).__name__}: {alone}", completion)
        return UserError(
            f"The reward {self.name!r} raised {type(error).__name__}: {error}. It did so on "
            f"{len(completions)} answers together, on none of them alone."
        )

    def _report(self, what: str, completion: Completion) -> UserError:
        return UserError(
            f"The reward {self.name!r} {what}. Prompt {completion.prompt.id!r}, answer "
            f"{completion.text!r}. Mend the reward and run the same command again."
        )
