"""A stand-in for the process that draws ahead: the same in this one, with copies of the weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

from heed.models.language_model import LanguageModel
from heed.sampling.ahead import written
from heed.sampling.local import LocalSampler
from heed.types import Prompt


class StandIn:
    """Draws when it is asked for the answers, by the policy as it was when the round was begun."""

    def __init__(self, sampler: LocalSampler) -> None:
        self.sampler = sampler

    def begin(self, prompts: Sequence[Prompt], *, n: int, seed: int) -> None:
        lm = self.sampler.lm
        then = LanguageModel(copy.deepcopy(lm.model), lm.tokenizer, lm.chat)
        self.question = (replace(self.sampler, lm=then), prompts, n, seed)

    def collect(self) -> list[str]:
        sampler, prompts, n, seed = self.question
        return [written(each) for each in sampler.sample(prompts, n=n, seed=seed)]
