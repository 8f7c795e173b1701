"""A mixture asks every policy, in turn, and keeps the order of prompts and samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from heed.sampling.mixture import MixtureSampler
from heed.types import Completion, Prompt


@dataclass(frozen=True)
class Script:
    """A policy that signs its answers."""

    name: str

    def sample(self, prompts: Sequence[Prompt], *, n: int = 1, seed: int = 0) -> list[Completion]:
        return [
            Completion(prompt, f"{prompt.id}{i} {seed}", model=self.name)
            for prompt in prompts
            for i in range(n)
        ]


PROMPTS = [Prompt.of(letter) for letter in "abcd"]


def test_first_answers_come_from_the_first_policy_and_the_others_take_turns() -> None:
    drawn = MixtureSampler([Script("x"), Script("y")]).sample(PROMPTS, n=2, seed=5)
    assert [item.prompt.id for item in drawn] == list("aabbccdd")
    assert [item.model for item in drawn] == ["x", "y", "x", "x", "x", "y", "x", "x"]
    assert {item.text.split()[1] for item in drawn if item.model == "x"} == {"5"}
    assert {item.text.split()[1] for item in drawn if item.model == "y"} == {"6"}


def test_a_mixture_of_one_is_that_one() -> None:
    one = MixtureSampler([Script("x")]).sample(PROMPTS, n=3)
    assert [item.model for item in one] == ["x"] * 12
