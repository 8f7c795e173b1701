"""Several reward models as one reward."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from answered import said

from heed.rewards.ensemble import COMBINE, EnsembleReward, bootstrap
from heed.types import Comparison, Completion, Prompt

ANSWERS = [said("a"), said("bb")]


def member(*scores: float) -> Any:
    def reward(completions: Sequence[Completion]) -> list[float]:
        return list(scores)

    return reward


MEMBERS = [member(1.0, 0.0), member(3.0, 0.0), member(2.0, 3.0)]


@pytest.mark.parametrize(
    ("combine", "penalty", "want"),
    [("mean", 1.0, [2.0, 1.0]), ("minimum", 1.0, [1.0, 0.0]),
     ("mean_minus_std", 1.0, [2 - (2 / 3) ** 0.5, 1 - 2**0.5]),
     ("mean_minus_std", 0.5, [2 - 0.5 * (2 / 3) ** 0.5, 1 - 0.5 * 2**0.5])],
)  # fmt: skip
def test_by_hand(combine: str, penalty: float, want: list[float]) -> None:
    assert EnsembleReward(MEMBERS, COMBINE[combine], penalty)(ANSWERS) == pytest.approx(want)


@pytest.mark.parametrize("combine", COMBINE)
def test_members_that_agree_are_one(combine: str) -> None:
    assert EnsembleReward([MEMBERS[0]] * 3, COMBINE[combine], 2.0)(ANSWERS) == [1.0, 0.0]


def test_what_each_member_says() -> None:
    scores = EnsembleReward(MEMBERS, COMBINE["mean"], 1.0).scores(ANSWERS)
    assert scores.tolist() == [[1.0, 0.0], [3.0, 0.0], [2.0, 3.0]]


def test_a_bootstrap_draws_prompts_with_all_they_have() -> None:
    prompts = [Prompt.of(str(number)) for number in range(200)]
    found = [Comparison(p, "yes", str(i)) for p in prompts for i in range(1 + int(p.text) % 3)]
    drawn = bootstrap(found, seed=0)
    times = Counter(each.prompt.id for each in drawn)
    for prompt in prompts:
        own = 1 + int(prompt.text) % 3
        assert times[prompt.id] % own == 0
    # A prompt is left out with chance (1 - 1/n)^n, about 1/e.
    assert 0.30 < 1 - len(times) / len(prompts) < 0.44
    assert bootstrap(found, seed=0) == drawn
    assert bootstrap(found, seed=1) != drawn
