"""Answers drawn by servers elsewhere, with the weights of the policy that trains here.

The servers speak vLLM's routes: /v1/completions by token ids with log-probs, and those by which
weights are sent. An answer counts only if the weights that drew it are those that were sent: every
sending has a version of its own, which a server gives back with its answer or is asked for after
it. One that was started anew has another version or none, and gets the weights before it is asked
again (`rollout_link.py`).
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from heed.errors import UserError
from heed.models.anatomy import causal_lm
from heed.models.plain_weights import plain_weights
from heed.models.sharding import whole_in_first
from heed.models.work import count_answers
from heed.ranks import Ranks
from heed.run import derive_seed
from heed.sampling.endpoint import UNREADABLE, Passing, message
from heed.sampling.fleet import Fleet
from heed.sampling.local import LocalSampler
from heed.sampling.rollout_link import Link, Servers
from heed.sampling.split import from_first
from heed.types import Completion, Finish, Prompt

SEEDS = 2**31
FINISHES: Mapping[str, Finish] = {"stop": "stop", "length": "length"}
"""How an answer may end; any other end (`abort`) is none."""


class RolloutSampler:
    """What `sampler` would draw, drawn by servers, by `heed.types.Sampler`.

    Texts are made here from the ids that come back, so that servers and this process cannot differ
    in what an answer says. Not for temperature 0, nor where top-p or top-k cut the distribution:
    servers report no log-probs of what is left.
    """

    def __init__(self, sampler: LocalSampler, servers: Servers, *, copies: bool = False) -> None:
        if sampler.top_p < 1.0 or sampler.top_k or sampler.temperature == 0.0:
            raise UserError("Rollout servers draw from the whole distribution: no top_p, no top_k.")
        self.sampler = sampler
        self.servers = servers
        self.copies = copies
        """Whether the weights may change while answers are drawn by those that were sent."""
        self.asks = Ranks.here().rank == 0
        """Whether this process asks the servers: one of those that train together does."""
        self.links = servers.links() if self.asks else []
        self.fleet = Fleet(
            len(self.links),
            concurrency=servers.concurrency,
            retries=servers.retries,
            ready=lambda at: self.links[at].version == self.version,
            prepare=self._prepare,
            lost=self._lost,
        )
        self.name = secrets.token_hex(4)
        self.sent = 0
        self.published = Published("", {})
        self._redrawn = 0
        self._lock = threading.Lock()

    @property
    def version(self) -> str:
        """Of the weights that draw."""
        return self.published.version

    def publish(self) -> None:
        """Make the weights as they stand those that draw from now on.

        All processes come here alike. Sharded weights are whole in the first alone.
        """
        self.sent += 1
        live = self.sampler.lm.model
        self.published = Published("", {})  # no two whole copies at a time
        with whole_in_first(live) as model:
            if self.asks:
                weights = plain_weights(model, copies=self.copies and model is live)
                self.published = Published(f"{self.name}.{self.sent}", weights)

    def redrawn(self) -> int:
        """Answers that came from other weights than were sent, and so were drawn again, since this
        was asked last.
        """
        with self._lock:
            found, self._redrawn = self._redrawn, 0
        return found

    def sample(self, prompts: Sequence[Prompt], *, n: int = 1, seed: int = 0) -> list[Completion]:
        """`n` completions a prompt, prompt-major, by the weights as they stand. All processes come
        here alike, with the same prompts, and have the same answers.

        Raises UserError for a request that is refused, and when no server answers any more.
        """
        self.publish()
        return from_first(
            lambda: self.draw(prompts, n=n, seed=seed),
            [prompt for prompt in prompts for _ in range(n)],
        )

    def draw(self, prompts: Sequence[Prompt], *, n: int, seed: int) -> list[Completion]:
        """The same by the weights that were published last, in the process that asks."""
        questions = [
            _Question(prompt, self.sampler.lm.chat.prompt_ids(prompt), n, derive_seed(seed, at))
            for at, prompt in enumerate(prompts)
        ]
        found = self.fleet.run(questions, self._ask, self._gave_up)
        answers = [answer for each in found for answer in each]
        count_answers(
            causal_lm(self.sampler.lm.model),
            sum(len(question.ids) for question in questions),
            sum(len(answer.ids) for answer in answers),
            len(answers),
        )
        return answers

    def close(self) -> None:
        """Leave the servers as they are, and all groups."""
        for link in self.links:
            link.close()

    def _ask(self, question: _Question, at: int) -> list[Completion]:
        """The answers to one prompt by one server."""
        link, version = self.links[at], self.version
        sendings = link.sendings
        reply = self._reply(link, question)
        drew = reply["weight_version"] if "weight_version" in reply else link.has()
        if link.sendings != sendings:
            raise Passing("was sent weights while it answered")
        if drew != version:
            with self._lock:
                self._redrawn += question.n
            raise Passing(f"drew by the weights {drew!r} instead of {version!r}", gone=True)
        try:
            return self._completions(question, reply)
        except UNREADABLE as error:
            said = link.endpoint.shown(str(reply))
            raise Passing(f"sent no answers by token ids ({error}) but: {said}") from error

    def _reply(self, link: Link, question: _Question) -> dict[str, Any]:
        response = link.endpoint.request("POST", "/v1/completions", self._body(link, question))
        said = link.endpoint.shown(message(response))
        if response.status_code != 200:
            raise UserError(
                f"{link.endpoint.address} refuses to answer the prompt {question.prompt.id!r} ("
                f"{response.status_code}): {said}. See whether it serves this policy's model, with "
                f"room for the prompt and an answer; the key is read from {self.servers.key}."
            )
        try:
            return dict(response.json())
        except UNREADABLE as error:
            raise Passing(f"sent no completion but: {said}") from error

    def _body(self, link: Link, question: _Question) -> dict[str, Any]:
        sampler = self.sampler
        body = {
            "model": link.model,
            "prompt": question.ids,
            "n": question.n,
            "max_tokens": sampler.max_new_tokens,
            "temperature": sampler.temperature,
            "top_p": 1.0,
            "top_k": 0,
            "seed": question.seed % SEEDS,
            "stop": list(sampler.stop),
            "stop_token_ids": sorted(sampler.lm.chat.stop_ids),
            "logprobs": 0,
            "return_token_ids": True,
            "skip_special_tokens": False,
        }
        return {name: value for name, value in body.items() if value not in ("", [])}

    def _completions(self, question: _Question, reply: Mapping[str, Any]) -> list[Completion]:
        """Raises one of UNREADABLE for a reply that does not hold all answers, each whole."""
        choices = sorted(reply["choices"], key=lambda choice: int(choice["index"]))
        if [choice["index"] for choice in choices] != list(range(question.n)):
            raise ValueError(f"{len(choices)} answers instead of {question.n}")
        found = []
        for choice in choices:
            ids = tuple(_token(token) for token in choice["token_ids"])
            logprobs = tuple(_logprob(value) for value in choice["logprobs"]["token_logprobs"])
            if not ids or len(ids) != len(logprobs):
                raise ValueError(f"{len(ids)} tokens and {len(logprobs)} log-probs")
            found.append(
                Completion(
                    question.prompt,
                    self.sampler.text(ids),
                    finish=FINISHES[choice["finish_reason"]],
                    model=self.sampler.model_name,
                    prompt_ids=tuple(question.ids),
                    ids=ids,
                    logprobs=logprobs,
                )
            )
        return found

    def _gave_up(self, at: int, failure: Passing, tries: int) -> str:
        address = self.links[at].endpoint.address
        return (
            f"The rollout server {address} {failure}. Gave up after {tries} "
            f"{'try' if tries == 1 else 'tries'}, and no other server is left. See whether "
            f"{' and '.join(self.servers.addresses)} run and reach this host; then run the same "
            "command again: what is finished is kept."
        )

    def _prepare(self, at: int) -> None:
        """Send a server the weights. Read at once: a thread of a round that is over may still be
        here while others are published, and must not give those this round's name.
        """
        published = self.published
        self.links[at].send(published.version, published.weights)

    def _lost(self, at: int) -> None:
        """Whatever weights it has, it is sent new ones before it is asked again."""
        self.links[at].version = None


@dataclass(frozen=True)
class Published:
    """Weights that draw, and what they are called."""

    version: str
    weights: Mapping[str, Tensor]


@dataclass(frozen=True)
class _Question:
    """One request: `n` answers to a prompt."""

    prompt: Prompt
    ids: list[int]
    n: int
    seed: int


def _token(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no token")
    return value


def _logprob(value: Any) -> float:
    if not isinstance(value, float | int) or not -1e9 < value < 1e-3:
        raise ValueError(f"{value!r} is no log-prob")
    return float(value)
