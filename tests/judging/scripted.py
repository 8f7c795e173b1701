"""A Sampler that follows a script, and pairs to judge with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from heed.types import Completion, Finish, Pair, Prompt


class Scripted:
    """Answers with a function of the prompt and the seed, and remembers what it was asked."""

    def __init__(self, say: Callable[[Prompt, int], str], finish: Finish = "stop") -> None:
        self.say = say
        self.finish = finish
        self.asked: list[Prompt] = []
        self.seeds: list[int] = []

    def sample(self, prompts: Sequence[Prompt], *, n: int = 1, seed: int = 0) -> list[Completion]:
        self.asked += prompts
        self.seeds += [seed] * len(prompts)
        return [
            Completion(prompt, self.say(prompt, seed), finish=self.finish)
            for prompt in prompts
            for _ in range(n)
        ]


def shorter(prompt: Prompt, seed: int) -> str:
    """A judge without bias: the shorter of the two answers, by the default rubric's fences."""
    left, right = shown(prompt)
    word = "A" if len(left) < len(right) else "B" if len(left) > len(right) else "tie"
    return f"I compared them.\nVerdict: {word}"


def shown(prompt: Prompt) -> tuple[str, str]:
    """The two answers in a question of the default rubric."""
    lines = prompt.text.split("\n")
    fences = [at for at, line in enumerate(lines) if line.startswith("--- ")]
    first, second, end = fences[1:]
    return "\n".join(lines[first + 1 : second]), "\n".join(lines[second + 1 : end])


def pair(left: str, right: str, id: str = "p") -> Pair:
    return Pair(id, Prompt.of("how are you ?", id="q"), left, right, "m1", "m2")
