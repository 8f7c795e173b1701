"""Rounds that are drawn while the round before them is learned from.

    round t is drawn by the weights that t - 2 rounds have made       (t = 1, 2, ...; the first by
    round t is learned from by those that t - 1 rounds have made       the weights of the start)

So every round but the first is one step off policy, no more and no less, and what a round is drawn
by depends on no clock. `heed.losses.importance` corrects for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jaxtyping import Float
from torch import Tensor

from heed.losses.importance import importance
from heed.losses.policy import LogRatio, token_log_ratio
from heed.policies.experience import Experience
from heed.sampling.ahead import AheadSampler, read_answer
from heed.types import Completion, Prompt


@dataclass(frozen=True)
class Asked:
    """What a round asks the policy."""

    prompts: Sequence[Prompt]
    n: int
    seed: int


class Rounds(Protocol):
    """Rounds that something else draws than the policy that learns."""

    def draw(self, iteration: int, ask: Callable[[int], Asked]) -> list[Completion]:
        """The answers of a round, counted from 0."""
        ...

    def correct(
        self, drawn: Experience, now: Callable[[Experience], Float[Tensor, "B T"]], iteration: int
    ) -> tuple[Experience, Float[Tensor, "B T"], Mapping[str, float]]:
        """A round as the policy that is about to learn sees it, the weights that make up for who
        drew it, and what there is to log of that; `now` gives that policy's log-probs.
        """
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class Ahead:
    """Draws rounds one ahead of a learner that makes `iterations` of them."""

    def __init__(
        self,
        sampler: AheadSampler,
        *,
        iterations: int,
        cap: float,
        log_ratio: LogRatio = token_log_ratio,
    ) -> None:
        self.sampler = sampler
        self.iterations = iterations
        self.cap = cap
        self.log_ratio = log_ratio
        self.waiting: int | None = None
        """The round that was asked for and not yet learned from."""
        self.answers: list[str] | None = None
        """Its answers, where they are here."""

    def draw(self, iteration: int, ask: Callable[[int], Asked]) -> list[Completion]:
        """The answers of a round, counted from 0; the next one is begun by the policy as it is."""
        asked = ask(iteration)
        if self.waiting != iteration:
            self._begin(iteration, asked)
        prompts = [prompt for prompt in asked.prompts for _ in range(asked.n)]
        lines = self._collect()
        drawn = [read_answer(line, prompt) for line, prompt in zip(lines, prompts, strict=True)]
        self.waiting, self.answers = None, None
        if iteration + 1 < self.iterations:
            self._begin(iteration + 1, ask(iteration + 1))
        return drawn

    def correct(
        self, drawn: Experience, now: Callable[[Experience], Float[Tensor, "B T"]], iteration: int
    ) -> tuple[Experience, Float[Tensor, "B T"], Mapping[str, float]]:
        behind = min(iteration, 1)
        seen = drawn.under(now(drawn)) if behind else drawn
        found = importance(
            seen.logprobs,
            drawn.logprobs,
            drawn.sequences.target,
            cap=self.cap,
            log_ratio=self.log_ratio,
        )
        measures = {
            "staleness": float(behind),
            "importance_weight": found.mean,
            "importance_capped": found.capped,
            "behaviour_kl": found.kl,
        }
        return seen, found.weight, measures

    def state_dict(self) -> dict[str, Any]:
        """The round that is being drawn, once it is: the weights that draw it are in no checkpoint,
        and nothing else could be done meanwhile but to wait for it.
        """
        if self.waiting is None:
            return {}
        return {"round": self.waiting, "answers": self._collect()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.waiting, self.answers = state.get("round"), state.get("answers")

    def _begin(self, iteration: int, asked: Asked) -> None:
        self.sampler.begin(asked.prompts, n=asked.n, seed=asked.seed)
        self.waiting, self.answers = iteration, None

    def _collect(self) -> list[str]:
        if self.answers is None:
            self.answers = self.sampler.collect()
        return self.answers
