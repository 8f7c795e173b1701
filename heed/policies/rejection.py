"""Rejection sampling: draw several answers, imitate the best, again and again.

    y* = argmax r(x, y_i),   y_1 ... y_k ~ pi;   maximise  log pi(y* | x)

Dong et al. 2023, RAFT (arXiv:2304.06767), algorithm 1; Llama 2 (arXiv:2307.09288), section 3.2.3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import torch
from torch import nn

from heed.errors import UserError
from heed.losses.sft import cross_entropy
from heed.losses.term import Term
from heed.models.forward import completion_logprobs
from heed.models.language_model import LanguageModel
from heed.models.reference import Reference
from heed.ops.batch import Sequences
from heed.ops.order import Order
from heed.policies.best_of_n import best_places
from heed.policies.experience import Experience, experience
from heed.run import derive_seed
from heed.types import Completion, Prompt, RewardFn, Sampler


@dataclass(frozen=True)
class Selection:
    """How a round of samples is used."""

    prompts: int
    candidates: int
    epochs: float
    batch: int
    missing_eos: float
    temperature: float
    micro_tokens: int


@dataclass
class RejectionSampling:
    """A Method whose outer iteration is one round: sample, choose, imitate for `epochs` passes."""

    policy: LanguageModel
    sampler: Sampler
    prompts: Sequence[Prompt]
    reward: RewardFn
    reference: Reference
    selection: Selection
    seed: int
    watch: Mapping[str, RewardFn]
    measured: dict[str, float] = field(default_factory=dict)

    @property
    def module(self) -> nn.Module:
        model: nn.Module = self.policy.model
        return model

    def batches(self, iteration: int) -> Iterator[Sequences]:
        selection = self.selection
        completions = self._sample(iteration)
        seen = experience(
            completions,
            self.reward,
            self.reference,
            temperature=selection.temperature,
            missing_eos=selection.missing_eos,
            micro_tokens=selection.micro_tokens,
            pad=self.policy.chat.pad_id,
            device=self.policy.device,
        )
        chosen = self._choose(completions, seen)
        self.measured = self._measure(completions, seen, chosen)
        rows = seen.sequences.rows(torch.tensor(chosen, device=seen.sequences.ids.device))
        seed = derive_seed(self.seed, iteration)
        order = Order(len(rows), min(selection.batch, len(rows)), seed)
        for step in range(order.steps(selection.epochs)):
            yield rows.rows(order.indices(step).to(rows.ids.device))

    def _sample(self, iteration: int) -> list[Completion]:
        order = Order(len(self.prompts), self.selection.prompts, self.seed)
        prompts = [self.prompts[i] for i in order.indices(iteration).tolist()]
        seed = derive_seed(self.seed, "sample", iteration)
        return self.sampler.sample(prompts, n=self.selection.candidates, seed=seed)

    def _choose(self, completions: Sequence[Completion], seen: Experience) -> list[int]:
        """The best finished candidate of each prompt, where it is better than another one."""
        finished = torch.tensor([item.finish == "stop" for item in completions])
        shape = (-1, self.selection.candidates)
        chosen = best_places(seen.scores.cpu().view(shape), finished.view(shape))
        if not chosen:
            raise UserError(
                "No prompt has a finished answer that scores higher than another: of "
                f"{len(completions)} candidates {int(finished.sum())} came to an end. Raise "
                "candidates or sampling.max_new_tokens, or train the policy longer first."
            )
        return chosen

    def _measure(
        self, completions: Sequence[Completion], seen: Experience, chosen: Sequence[int]
    ) -> dict[str, float]:
        """Means over the round's candidates, and of the chosen ones' scores, before learning."""
        return {
            "proxy": float(seen.proxy.mean()),
            **{name: fmean(fn(completions)) for name, fn in self.watch.items()},
            "score": float(seen.scores.mean()),
            "chosen": float(len(chosen)),
            "chosen_score": float(seen.scores[list(chosen)].mean()),
            "kl": float(seen.kl.sum(1).mean()),
            "length": fmean([len(item.text.split()) for item in completions]),
            "unfinished": fmean([item.finish != "stop" for item in completions]),
        }

    def loss(self, batch: Sequences) -> list[Term]:
        logprobs, _ = completion_logprobs(self.policy.model, batch)
        return cross_entropy(logprobs, batch.target)

    def observe(self, metrics: Mapping[str, float]) -> Mapping[str, float]:
        return self.measured

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to load: a round is a function of the weights and its number."""
