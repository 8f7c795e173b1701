"""A rubric in a recipe: refused while the recipe is read where no judge could work with it."""

from __future__ import annotations

from typing import Any

import pytest

from heed import recipe
from heed.config import load_recipe
from heed.errors import UserError
from heed.judging.rubric import BY_PRINCIPLE, GENERAL
from heed.judging.rubric import Rubric as Working

BARE = "{conversation} {left} {right}"
GOOD: list[dict[str, Any]] = [
    {},
    {"template": BARE},
    {"template": GENERAL},
    {"template": BY_PRINCIPLE},
    {"template": f"{BARE} {{}} {{X}} {{1}} {{boundary}}"},
    {"verdicts": {"A": 1, "B": 8, "both": "both_bad", "?": "cannot_tell"}},
    {"verdicts": {"the first": 3, "the second": 6, "alike": "tie"}, "marker": ""},
    {"turns": {"user": "Q: {text}"}, "system": "", "reminders": []},
]
BAD: list[dict[str, Any]] = [
    {"template": ""},
    {"template": "Which is better?"},
    {"template": "{conversation} {left}"},
    {"template": f"{BARE} {{answer}}"},
    {"verdicts": {}},
    {"verdicts": {"A": 9}},
    {"verdicts": {"A": 0, "B": 9}},
    {"verdicts": {"A": 2, "B": True}},
    {"verdicts": {"A": 1, "B": 7}},
    {"verdicts": {"equal": "tie"}},
    {"verdicts": {"A": 2, "B": 7, "draw": "draw"}},
    {"verdicts": {"A": 2, "B": 7, " . ": "tie"}, "marker": ""},
    {"verdicts": {"": 2, "B": 7}, "marker": ""},
    {"verdicts": {"A": 2, "B": 7, "*a*": "tie"}},
    {"turns": {}},
    {"turns": {"user": "hi"}},
    {"turns": {"assistant": "{text}"}},
]


@pytest.mark.parametrize("settings", GOOD, ids=str)
def test_what_works_is_read(settings: dict[str, Any]) -> None:
    Working(**settings)
    assert recipe.Rubric(**settings).model_dump(exclude_unset=True) == settings


@pytest.mark.parametrize("settings", BAD, ids=str)
def test_what_cannot_work_is_refused_by_both(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        Working(**settings)
    with pytest.raises(ValueError, match=next(iter(settings))):
        recipe.Rubric(**settings)


@pytest.mark.parametrize(
    ("rubric", "source", "said"),
    [
        ("{template: 'Which?'}", "judge", "has no {conversation}, {left}, {right}; add it."),
        ("{verdicts: {A: 9}}", "judge", "the verdict 'A' means 9, but grades are 1 to 8."),
        ("{verdicts: {}}", "judge", "each needs its mirror image"),
        (f"{{template: '{BARE} {{principle}}'}}", "judge", "a judge alone has none to put there"),
        (f"{{template: '{BARE}'}}", "constitution", "{principle} in judge.rubric.template; add it"),
    ],
)
def test_a_recipe_with_a_rubric_that_cannot_work(rubric: str, source: str, said: str) -> None:
    judge = f"collect.judge={{policy: sft, rubric: {rubric}}}"
    with pytest.raises(UserError) as caught:
        load_recipe("quickstart", [f"collect.source={source}", judge])
    assert said in str(caught.value)
    assert "Value error" not in str(caught.value)
