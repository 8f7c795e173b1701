"""A judge as a reward."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from answered import said

from heed.errors import UserError
from heed.judging.grading import Grader
from heed.rewards.judged import JudgedReward
from heed.types import Completion, Prompt


class Replies:
    """Says the word that the answer holds as its grade, or nothing readable."""

    def sample(self, prompts: Sequence[Prompt], *, n: int = 1, seed: int = 0) -> list[Completion]:
        grade = {"yes": "Grade: 10", "no": "Grade: 1"}
        return [
            Completion(p, next((g for word, g in grade.items() if f"\n{word}\n" in p.text), "hm"))
            for p in prompts
        ]


ANSWERS = [said("yes"), said("maybe"), said("no")]


def test_grades_are_scores() -> None:
    judge = JudgedReward(Grader(Replies()), unreadable=None, say=print)
    assert judge([ANSWERS[0], ANSWERS[2]]) == [10.0, 1.0]


def test_an_answer_without_a_grade_stops_the_run() -> None:
    with pytest.raises(UserError, match=r"no grade after 3 tries.*'maybe'; its last reply: 'hm'"):
        JudgedReward(Grader(Replies()), unreadable=None, say=print)(ANSWERS)


def test_or_gets_the_stated_score_and_is_counted() -> None:
    heard: list[str] = []
    assert JudgedReward(Grader(Replies()), unreadable=0.0, say=heard.append)(ANSWERS) == [10, 0, 1]
    assert heard == ["1 of 3 answers got no grade from the judge and score 0."]
