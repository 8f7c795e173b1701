"""Which prompts of the training split are asked, and how many."""

from __future__ import annotations

from collections import Counter

import pytest

from heed.data.probes import Question
from heed.evaluation.sycophancy import file_probes
from heed.stages.answers import Questions, alike
from heed.types import Prompt


def prompts(split: str, **families: int) -> list[Prompt]:
    return [
        Prompt.of(f"{split} {name} {index}", family=name)
        for name, count in families.items()
        for index in range(count)
    ]


@pytest.mark.parametrize("count", [1, 2, 5, 7, 40])
def test_seen_prompts_have_the_shares_of_the_others(count: int) -> None:
    train, heldout = prompts("train", a=50, b=50, c=50), prompts("heldout", a=3, b=3, c=3)
    chosen = alike(train, heldout, count, seed=0)
    assert len(chosen) == len({each.id for each in chosen}) == count
    sizes = Counter(each.family for each in chosen)
    assert all(abs(sizes[name] - count / 3) < 1 for name in "abc")


def test_shares_are_uneven_and_what_is_lacking_is_lacking() -> None:
    heldout = prompts("heldout", a=6, b=3, c=1)
    chosen = alike(prompts("train", a=100, b=2), heldout, 10, seed=0)
    assert Counter(each.family for each in chosen) == {"a": 6, "b": 2}
    assert chosen == alike(prompts("train", a=100, b=2), heldout, 10, seed=0)
    assert chosen != alike(prompts("train", a=100, b=2), heldout, 10, seed=1)


def test_a_held_out_question_is_not_asked_plainly_twice() -> None:
    probes = file_probes([Question("q", "w", "w!"), Question("other", "w", "w!")])
    asked = Questions([Prompt.of("q")], 3, prompts("train", a=5), probes, 4)
    assert [each.text for each in asked.plain] == ["other"]
    assert asked.total == 3 * 1 + 5 + 4 * (2 + 1)
