"""Answers of several policies to the same prompts."""

from __future__ import annotations

from collections.abc import Sequence

from heed.types import Completion, Prompt, Sampler


class MixtureSampler:
    """A Sampler whose n answers to a prompt come from different policies.

    The first of `samplers` gives the first answer to every prompt; the others are given by all of
    them in turn. So of the pairs drawn from [policy, base], half are policy against base.
    """

    def __init__(self, samplers: Sequence[Sampler]) -> None:
        self.samplers = samplers

    def sample(self, prompts: Sequence[Prompt], *, n: int = 1, seed: int = 0) -> list[Completion]:
        places = [(at, i) for at in range(len(prompts)) for i in range(n)]
        answers: dict[tuple[int, int], Completion] = {}
        for index, sampler in enumerate(self.samplers):
            own = [place for place in places if self._giver(*place) == index]
            drawn = sampler.sample([prompts[at] for at, _ in own], seed=seed + index)
            answers.update(zip(own, drawn, strict=True))
        return [answers[place] for place in places]

    def _giver(self, prompt: int, answer: int) -> int:
        return (prompt + answer) % len(self.samplers) if answer else 0
