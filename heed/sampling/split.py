"""Drawing on several processes: each draws its share of the answers, and all have all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from heed.models.sharding import whole
from heed.ranks import Ranks
from heed.sampling.ahead import read_answer, written
from heed.sampling.local import LocalSampler
from heed.types import Completion, Prompt


class SplitSampler(LocalSampler):
    """A LocalSampler whose `sample` all processes call alike, with the same prompts.

    Answer r draws by line r of one table, in whichever process: the answers are those of one
    process. Sharded weights are whole while it draws.
    """

    @torch.no_grad()
    def sample(self, prompts: Sequence[Prompt], *, n: int = 1, seed: int = 0) -> list[Completion]:
        ranks = Ranks.here()
        own = range(ranks.rank, len(prompts), ranks.count)
        table = self.numbers(len(prompts) * n, seed)
        uniform = table.view(len(prompts), n, self.max_new_tokens)
        with whole(self.lm.model) as model:
            plain = replace(self, lm=replace(self.lm, model=model))
            drawn = plain.drawn([prompts[at] for at in own], uniform[list(own)].flatten(0, 1))
        found: list[list[Completion]] = [[] for _ in prompts]
        for rank, lines in enumerate(ranks.gathered([written(answer) for answer in drawn])):
            for place, line in enumerate(lines):
                at = rank + ranks.count * (place // n)
                found[at].append(read_answer(line, prompts[at]))
        return [answer for answers in found for answer in answers]


def from_first(
    draw: Callable[[], Sequence[Completion]], prompts: Sequence[Prompt]
) -> list[Completion]:
    """What the first process draws, in all of them; `prompts` has one an answer.

    Raises its UserError in all.
    """
    ranks = Ranks.here()
    if ranks.count == 1:
        return list(draw())
    lines = ranks.from_first(lambda: [written(answer) for answer in draw()])
    return [read_answer(line, prompt) for line, prompt in zip(lines, prompts, strict=True)]
