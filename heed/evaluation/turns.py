"""Conversations of several turns, answered turn after turn, and what their grades say.

Multi-turn grading in the form of MT-Bench (Zheng et al. 2023, arXiv:2306.05685, section 3): the
user's turns stand beforehand, a policy answers each with its own earlier answers before it, and a
judge grades every answer by itself. Questions are what was drawn, so they are the clusters of all
intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heed.data.mt_bench import Dialogue
from heed.run import derive_seed
from heed.stats.intervals import Estimate, difference_interval, mean_interval
from heed.types import Completion, Finish, Message, Prompt, Sampler

ALL = "all"


@dataclass(frozen=True, slots=True)
class Answered:
    """One conversation: which question, the how-manieth time, and the answer to every turn."""

    question: str
    sample: int
    answers: tuple[str, ...]
    finishes: tuple[Finish, ...]

    @property
    def id(self) -> str:
        return f"{self.question}/{self.sample}"


@dataclass(frozen=True, slots=True)
class Graded:
    """What the judge said of one answer: turns count from 0, None is a reply without a grade."""

    policy: str
    question: str
    sample: int
    turn: int
    value: int | None
    reply: str

    @property
    def id(self) -> str:
        return graded_id(self.policy, self.question, self.sample, self.turn)


def graded_id(policy: str, question: str, sample: int, turn: int) -> str:
    """The name of one answer in the journal of grades."""
    return f"{policy}/{question}/{sample}/{turn}"


def asked(dialogue: Dialogue, answers: Sequence[str]) -> Prompt:
    """The conversation up to the turn after so many answers."""
    said = zip(dialogue.turns, answers, strict=False)
    before = [m for turn, answer in said for m in _exchange(turn, answer)]
    now = Message("user", dialogue.turns[len(answers)])
    return Prompt(f"{dialogue.id}/{len(answers)}", (*before, now), dialogue.category, "heldout")


def _exchange(turn: str, answer: str) -> tuple[Message, Message]:
    return Message("user", turn), Message("assistant", answer)


def converse(
    sampler: Sampler, dialogues: Sequence[Dialogue], samples: Sequence[int], seed: int
) -> list[Answered]:
    """A conversation about each of the dialogues, the how-manieth each is being told by `samples`.

    All first turns are answered together, then all second ones, each with its own first answer.
    """
    answers: list[list[Completion]] = [[] for _ in dialogues]
    for turn in range(max((len(each.turns) for each in dialogues), default=0)):
        open_ = [at for at, each in enumerate(dialogues) if turn < len(each.turns)]
        prompts = [asked(dialogues[at], [c.text for c in answers[at]]) for at in open_]
        drawn = sampler.sample(prompts, seed=derive_seed(seed, "turn", turn))
        for at, completion in zip(open_, drawn, strict=True):
            answers[at].append(completion)
    return [
        Answered(each.id, sample, tuple(c.text for c in own), tuple(c.finish for c in own))
        for each, sample, own in zip(dialogues, samples, answers, strict=True)
    ]


def to_grade(dialogue: Dialogue, answered: Answered) -> list[Completion]:
    """Every answer of a conversation behind what was said before it."""
    return [
        Completion(asked(dialogue, answered.answers[:turn]), answer, answered.finishes[turn])
        for turn, answer in enumerate(answered.answers)
    ]


@dataclass(frozen=True)
class Grades:
    """The grades that one policy got, and the category of every question."""

    rows: Sequence[Graded]
    categories: Mapping[str, str]

    def mean(self, keep: Callable[[Graded], bool] = lambda _: True) -> Estimate:
        """The mean grade, clustered by question; replies without a grade are left out."""
        known = [row for row in self.rows if row.value is not None and keep(row)]
        return mean_interval([_value(row) for row in known], [row.question for row in known])

    def drop(self, turn: int = 1) -> Estimate:
        """How much lower a turn's answer is graded than the first of its conversation.

        Only conversations count in which both have a grade, so that it is paired.
        """
        known = {
            (r.question, r.sample, r.turn): _value(r) for r in self.rows if r.value is not None
        }
        pairs = [
            (question, known[question, sample, 0] - value)
            for (question, sample, at), value in known.items()
            if at == turn and (question, sample, 0) in known
        ]
        return mean_interval([fall for _, fall in pairs], [question for question, _ in pairs])

    def above(self, other: Grades) -> Estimate:
        """How much higher the mean grade is than another's, paired by the questions and turns on
        which both have a grade.
        """
        ours, theirs = self._by_turn(), other._by_turn()
        both = [key for key in ours if key in theirs]
        a = [mean for key in both for mean in [_mean(ours[key])]]
        b = [mean for key in both for mean in [_mean(theirs[key])]]
        questions = [question for question, _ in both]
        return difference_interval(a, b, questions, questions)

    def _by_turn(self) -> dict[tuple[str, int], list[float]]:
        found: dict[tuple[str, int], list[float]] = {}
        for row in self.rows:
            if row.value is not None:
                found.setdefault((row.question, row.turn), []).append(_value(row))
        return found

    def to_json(self) -> dict[str, Any]:
        """Mean grades, the drop from the first turn, and what got none."""
        turns = sorted({row.turn for row in self.rows})
        categories = dict.fromkeys(self.categories[row.question] for row in self.rows)
        without = sum(row.value is None for row in self.rows)
        return {
            "answers": len(self.rows),
            "unparsable": without,
            ALL: self.mean().to_json(),
            "turns": {
                str(turn + 1): self.mean(lambda row, at=turn: row.turn == at).to_json()  # type: ignore[misc]
                for turn in turns
            },
            "drops": {str(turn + 1): self.drop(turn).to_json() for turn in turns if turn},
            "categories": {
                name: self.mean(
                    lambda row, name=name: self.categories[row.question] == name  # type: ignore[misc]
                ).to_json()
                for name in categories
                if len(categories) > 1
            },
        }


FOOLED, UNSURE, TOLD = "fooled", "unsure", "told apart"


def verdict_on(real: Grades, decoy: Grades) -> dict[str, Any]:
    """Whether a judge tells the best policy's answers from one that answers nothing.

    "fooled" where the decoy's mean grade is as high or higher, "told apart" where it is lower
    beyond the interval, "unsure" between the two and where too little was graded to say.
    """
    above = real.above(decoy)
    says = UNSURE
    if above.n and above.mean <= 0:
        says = FOOLED
    elif above.n and above.low > 0:
        says = TOLD
    return {"above": above.to_json(), "says": says}


def best_of(grades: Mapping[str, Grades]) -> str | None:
    """The policy with the highest mean grade; None where none has any."""
    means = {name: each.mean().mean for name, each in grades.items()}
    known = {name: mean for name, mean in means.items() if not math.isnan(mean)}
    return max(known, key=known.__getitem__) if known else None


def _value(row: Graded) -> float:
    assert row.value is not None, "asked of what has a grade"
    return float(row.value)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
