"""Rewards that need no judgement: an answer is right, has a form, has a length.

What is right for a prompt comes from the records' own side: a file of answers (`answers.py`), or
the embedded world, which knows. Nothing here looks at how an answer came about.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from heed.errors import UserError
from heed.types import Completion
from heed.world.world import World

Score = Callable[[Completion], float]


@dataclass(frozen=True)
class Verifier:
    """A RewardFn that scores one completion at a time.

    Only prompts of `families` are looked at (all where it is empty); answers to others score
    `elsewhere`.
    """

    score: Score
    families: Collection[str] = ()
    elsewhere: float = 0.0

    def __call__(self, completions: Sequence[Completion]) -> list[float]:
        return [
            self.score(each) if self._concerns(each) else self.elsewhere for each in completions
        ]

    def _concerns(self, completion: Completion) -> bool:
        return not self.families or completion.prompt.family in self.families


def exact(answers: Mapping[str, str], *, extract: str | None, ignore_case: bool) -> Score:
    """1 where the answer is the right one to the letter, spaces at its ends aside, else 0.

    With `extract`, what is compared is its last match in the text (the group, where it has one); an
    answer without a match is wrong.
    """
    pattern = re.compile(extract) if extract else None

    def score(completion: Completion) -> float:
        said, right = completion.text, right_answer(answers, completion)
        if pattern is not None:
            found = list(pattern.finditer(said))
            if not found:
                return 0.0
            said = found[-1][min(1, pattern.groups)] or ""
        said, right = said.strip(), right.strip()
        return float(said.casefold() == right.casefold() if ignore_case else said == right)

    return score


def right_answer(answers: Mapping[str, str], completion: Completion) -> str:
    """What is right for the completion's prompt. Raises UserError where nobody said."""
    prompt = completion.prompt
    for key in (prompt.text.strip(), prompt.id):
        if key in answers:
            return answers[key]
    raise UserError(
        f"No right answer is known to the prompt {prompt.text!r} (id {prompt.id!r}). Add a row "
        "with it to the file of answers, or check other families of prompts only (`families`)."
    )


def regex(pattern: str) -> Score:
    """1 where the pattern is found in the answer, else 0."""
    compiled = re.compile(pattern)
    return lambda completion: float(compiled.search(completion.text) is not None)


def form(pattern: str) -> Score:
    """1 where the whole answer, spaces at its ends aside, has the pattern's form, else 0."""
    compiled = re.compile(pattern, re.DOTALL)
    return lambda completion: float(compiled.fullmatch(completion.text.strip()) is not None)


def length(least: int, most: int | None, penalty: float) -> Score:
    """-penalty * (words too few or too many), 0 within the bounds."""

    def score(completion: Completion) -> float:
        words = len(completion.text.split())
        beyond = max(0, least - words) + (max(0, words - most) if most is not None else 0)
        return -penalty * beyond if beyond else 0.0

    return score


def correct(world: World) -> Score:
    """1 where the answer is right by the world's facts, else 0; manners and form are nothing."""
    return lambda completion: float(world.gold(completion.prompt, completion.text).correct)
