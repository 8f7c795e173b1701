"""Rounds that rollout servers draw, by weights that are sent to them.

    staleness = rounds learned from since the weights of whoever drew were sent

It is at most `every` - 1, and one more where a round is drawn while the one before it is learned
from. Also at 0 the servers' log-probs are not quite the trainer's: they compute in other formats
and orders. So the trainer's own stand for the policy that is about to learn, in every round, and
`heed.losses.importance` makes up for what drew (for the two at once: Yao et al. 2025, "Your
efficient RL framework secretly brings you off-policy RL training").
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from heed.losses.importance import importance
from heed.losses.policy import LogRatio, token_log_ratio
from heed.ops.masked import masked_mean
from heed.policies.ahead import Asked
from heed.policies.experience import Experience
from heed.sampling.ahead import read_answer, written
from heed.sampling.rollouts import RolloutSampler
from heed.sampling.split import from_first
from heed.types import Completion, Prompt

GAP = "rollout_gap"
"""The mean difference of a token's log-probs, where it was drawn and here."""


class Elsewhere:
    """Draws rounds for a learner that makes `iterations` of them.

    Weights are sent before a round where the last ones are `every` rounds old; with `ahead` the
    next round is drawn while one is learned from. Of several processes that train together the
    first asks, and tells the others at the round's beginning.
    """

    def __init__(
        self,
        sampler: RolloutSampler,
        *,
        iterations: int,
        ahead: bool,
        every: int,
        cap: float,
        log_ratio: LogRatio = token_log_ratio,
    ) -> None:
        self.sampler = sampler
        self.iterations, self.ahead, self.every = iterations, ahead, every
        self.cap, self.log_ratio = cap, log_ratio
        self.sent: int | None = None
        """How many rounds the weights that were sent last had learned from; None: none were."""
        self.waiting: _Begun | None = None
        """The round that was asked for and not yet learned from."""
        self.drew = 0
        """How many rounds the weights had learned from that drew the round under way."""

    def draw(self, iteration: int, ask: Callable[[int], Asked]) -> list[Completion]:
        """The answers of a round; with `ahead` the next one is begun by the policy as it is."""
        asked = ask(iteration)
        if self.waiting is None or self.waiting.round != iteration:
            self.waiting = self._begin(iteration, iteration, asked)
        prompts = [prompt for prompt in asked.prompts for _ in range(asked.n)]
        begun, self.waiting = self.waiting, None
        self.drew = begun.learned
        answers = begun.answers(prompts)
        if self.ahead and iteration + 1 < self.iterations:
            self.waiting = self._begin(iteration + 1, iteration, ask(iteration + 1))
        return answers

    def correct(
        self, drawn: Experience, now: Callable[[Experience], Float[Tensor, "B T"]], iteration: int
    ) -> tuple[Experience, Float[Tensor, "B T"], Mapping[str, float]]:
        seen = drawn.under(now(drawn))
        target = drawn.sequences.target
        found = importance(
            seen.logprobs, drawn.logprobs, target, cap=self.cap, log_ratio=self.log_ratio
        )
        apart = torch.where(target, (seen.logprobs - drawn.logprobs).abs(), 0.0)
        measures = {
            "staleness": float(iteration - self.drew),
            "importance_weight": found.mean,
            "importance_capped": found.capped,
            "behaviour_kl": found.kl,
            GAP: float(masked_mean(apart, target)),
            "redrawn": float(self.sampler.redrawn()),
        }
        return seen, found.weight, measures

    def state_dict(self) -> dict[str, Any]:
        """The round that is being drawn, once it is; see `heed.policies.ahead.Ahead`. Servers are
        sent the weights anew whenever a process begins.
        """
        return {} if self.waiting is None else self.waiting.state(asks=self.sampler.asks)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.waiting = _Begun.read(state) if state else None

    def _begin(self, number: int, learned: int, asked: Asked) -> _Begun:
        """Have a round drawn, by the weights that `learned` rounds have made or older ones."""
        if self.sent is None or learned - self.sent >= self.every:
            self.sampler.publish()
            self.sent = learned
        future: Future[list[Completion]] = Future()
        if not self.sampler.asks:
            return _Begun(number, self.sent, future)

        def work() -> None:
            try:
                future.set_result(self.sampler.draw(asked.prompts, n=asked.n, seed=asked.seed))
            except BaseException as error:
                future.set_exception(error)

        # A daemon: an interrupt need not wait for a slow server.
        threading.Thread(target=work, daemon=True, name="heed-round").start()
        return _Begun(number, self.sent, future)


class _Begun:
    """A round that was asked for, and its answers once they are there; `future` has them in the
    process that asks, and is never done in others.
    """

    def __init__(self, number: int, learned: int, future: Future[list[Completion]]) -> None:
        self.round, self.learned, self.future = number, learned, future
        self.lines: Sequence[str] | None = None
        """The answers, where they were read from a checkpoint."""

    def answers(self, prompts: Sequence[Prompt]) -> list[Completion]:
        if self.lines is None:
            return from_first(self.future.result, prompts)
        return [read_answer(line, prompt) for line, prompt in zip(self.lines, prompts, strict=True)]

    def state(self, *, asks: bool) -> dict[str, Any]:
        """For a checkpoint, which the process writes that asks."""
        lines = self.lines
        if lines is None:
            lines = [written(answer) for answer in self.future.result()] if asks else []
        return {"round": self.round, "learned": self.learned, "answers": list(lines)}

    @staticmethod
    def read(state: Mapping[str, Any]) -> _Begun:
        begun = _Begun(state["round"], state["learned"], Future())
        begun.lines = state["answers"]
        return begun
