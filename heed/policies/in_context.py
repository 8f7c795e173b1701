"""Asking with more before the prompt: a system message, demonstrations, documents.

    y ~ pi(. | c(x), x);   no weight moves, and all is in the context c

A prompt in place of training: Askell et al. 2021 (arXiv:2112.00861), section 2. Demonstrations
like the prompt: Liu et al. 2021 (arXiv:2101.06804), section 3. Documents before the prompt, the
model as it is: Ram et al. 2023 (arXiv:2302.00083), section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from heed.sampling.local import LocalSampler
from heed.sampling.streaming import Stream
from heed.types import Completion, Demonstration, Message, Prompt

Ways = Callable[[Prompt], Sequence[Prompt]]
"""From a prompt to the prompts that may be asked for it, the fullest first, itself last."""


@dataclass(frozen=True)
class InContext:
    """A Sampler that asks another in the first of the `ways` that fits its context.

    Its completions are of the prompt itself: they carry that prompt and its ids, and the log-probs
    of what was drawn from, pi(. | c(x), x). So `sequence_kl`, whose reference sees the plain
    prompt, measures KL(pi(. | c(x), x) || ref(. | x)) without bias. Where there is nothing to put
    before a prompt it is that sampler, seed for seed.
    """

    sampler: LocalSampler
    ways: Ways

    def sample(self, prompts: Sequence[Prompt], *, n: int = 1, seed: int = 0) -> list[Completion]:
        drawn = self.sampler.sample([self.asked(prompt) for prompt in prompts], n=n, seed=seed)
        chat = self.sampler.lm.chat
        return [
            replace(each, prompt=prompt, prompt_ids=tuple(chat.prompt_ids(prompt)))
            for each, prompt in zip(drawn, [p for p in prompts for _ in range(n)], strict=True)
        ]

    def stream(self, prompt: Prompt, *, seed: int = 0) -> Stream:
        """The answer of `sample([prompt], seed=seed)` while it is written; its `completion` speaks
        of the prompt that was really asked.
        """
        return self.sampler.stream(self.asked(prompt), seed=seed)

    def fits(self, prompt: Prompt) -> bool:
        """Whether the context holds what is asked for this prompt, and an answer."""
        return self.sampler.fits(self.asked(prompt))

    def asked(self, prompt: Prompt) -> Prompt:
        """What is really asked for a prompt; itself, where nothing more fits."""
        ways = self.ways(prompt)
        return next((way for way in ways if self.sampler.fits(way)), ways[-1])

    def notes(self, prompts: Sequence[Prompt]) -> list[str]:
        """On the prompts before which not all found room, where there are any."""
        cut = sum(self.asked(prompt) != self.ways(prompt)[0] for prompt in prompts)
        left = f"{cut} of {len(prompts)} prompts left no room for all that should stand before them"
        return [f"{left}, and were asked with less."] if cut else []


def with_system(prompt: Prompt, text: str) -> Prompt:
    """The prompt behind a system message, before what its own may say; itself for an empty text."""
    if not text:
        return prompt
    own = [turn.content for turn in prompt.messages if turn.role == "system"]
    system = Message("system", "\n\n".join([text, *own]))
    return replace(prompt, messages=(system, *spoken(prompt)))


def with_turns(prompt: Prompt, shots: Sequence[Demonstration]) -> Prompt:
    """The prompt behind demonstrations, as if they had been said before in its conversation."""
    system = [turn for turn in prompt.messages if turn.role == "system"]
    before = [
        turn for shot in shots for turn in (*spoken(shot.prompt), Message("assistant", shot.text))
    ]
    return replace(prompt, messages=(*system, *before, *spoken(prompt)))


def spoken(prompt: Prompt) -> list[Message]:
    """The turns of a prompt's conversation, without its system message."""
    return [turn for turn in prompt.messages if turn.role != "system"]
