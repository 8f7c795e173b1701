"""Answers drawn by servers elsewhere, with the weights of the policy that trains here.

The servers speak vLLM's routes: /v1/completions by token ids with log-probs, and those by which
weights are sent. An answer counts only if the weights that drew it are those that were sent: every
sending has a version of its own, which a server gives back with its answer or is asked for after
it. One that was started anew has another version or none, and gets the weights before it is asked
again.

    POST /init_weight_transfer_engine {init_info}      once a group (`transfer.py`)
    POST /pause?mode=abort, /start_weight_update
    POST /update_weights {update_info}                 and rank 0's broadcasts meanwhile
    POST /finish_weight_update {weight_version}, /reset_prefix_cache, /resume
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx2
from torch import Tensor

from heed.errors import UserError
from heed.models.forward import causal_lm
from heed.models.plain_weights import plain_weights
from heed.models.work import count_answers
from heed.run import derive_seed
from heed.sampling.endpoint import (
    UNREADABLE,
    Endpoint,
    Passing,
    check_address,
    key_in,
    message,
)
from heed.sampling.fleet import Fleet
from heed.sampling.local import LocalSampler
from heed.sampling.transfer import GROUPS, Group, opened, own_address
from heed.types import Completion, Finish, Prompt

Outcome = TypeVar("Outcome")
SEEDS = 2**31
FINISHES: Mapping[str, Finish] = {"stop": "stop", "length": "length"}
"""How an answer may end; any other end (`abort`) is none."""


@dataclass(frozen=True)
class Servers:
    """Where answers are drawn, and how patiently one deals with it.

    Args:
        addresses: of the servers, such as http://10.0.0.2:8000.
        model: its name there; "" asks each server for the first it has.
        transfer: how weights get there, one of `transfer.GROUPS`.
        key: the environment variable that holds the servers' key, if they want one.
        host: this host's address as the servers reach it; "" finds it out.
        timeout: seconds a request, and a sending of the weights, may take.
        retries: see `heed.sampling.fleet.Fleet`.
        concurrency: requests under way at a time, at each server.
    """

    addresses: Sequence[str]
    model: str = ""
    transfer: str = "gloo"
    key: str = "HEED_ROLLOUT_KEY"
    host: str = ""
    timeout: float = 120.0
    retries: int = 12
    concurrency: int = 64

    def __post_init__(self) -> None:
        for address in self.addresses:
            check_address(address)


@dataclass
class _Link:
    """One server, and what ties it to this process."""

    endpoint: Endpoint
    group: Group | None = None
    version: str | None = None
    """Of the weights that it was sent last; None where that is not known."""
    model: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)


class RolloutSampler:
    """What `sampler` would draw, drawn by servers, by `heed.types.Sampler`.

    Texts are made here from the ids that come back, so that servers and this process cannot differ
    in what an answer says. Not for temperature 0, nor where top-p or top-k cut the distribution:
    servers report no log-probs of what is left.
    """

    def __init__(self, sampler: LocalSampler, servers: Servers, *, copies: bool = False) -> None:
        if sampler.top_p < 1.0 or sampler.top_k or sampler.temperature == 0.0:
            raise UserError("Rollout servers draw from the whole distribution: no top_p, no top_k.")
        key = key_in(servers.key)
        self.sampler = sampler
        self.servers = servers
        self.copies = copies
        """Whether the weights may change while answers are drawn by those that were sent."""
        self.links = [
            _Link(
                Endpoint.at(
                    address.rstrip("/").removesuffix("/v1"),
                    key,
                    timeout=servers.timeout,
                    connections=servers.concurrency + 2,
                ),
                model=servers.model,
            )
            for address in servers.addresses
        ]
        self.fleet = Fleet(
            len(self.links),
            concurrency=servers.concurrency,
            retries=servers.retries,
            ready=lambda at: self.links[at].version == self.version,
            prepare=self._send,
            lost=self._lost,
        )
        self.name = secrets.token_hex(4)
        self.sent = 0
        self.version = ""
        self.weights: dict[str, Tensor] = {}
        self.redrawn = 0
        """Answers that came from other weights than were sent, and were drawn again."""

    def publish(self) -> None:
        """Make the weights as they stand those that draw from now on."""
        self.sent += 1
        self.version = f"{self.name}.{self.sent}"
        self.weights = plain_weights(self.sampler.lm.model, copies=self.copies)

    def sample(self, prompts: Sequence[Prompt], *, n: int = 1, seed: int = 0) -> list[Completion]:
        """`n` completions a prompt, prompt-major, by the weights as they stand.

        Raises UserError for a request that is refused, and when no server answers any more.
        """
        self.publish()
        return self.draw(prompts, n=n, seed=seed)

    def draw(self, prompts: Sequence[Prompt], *, n: int, seed: int) -> list[Completion]:
        """The same by the weights that were published last."""
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
            self._part(link)
            link.endpoint.close()

    def _ask(self, question: _Question, at: int) -> list[Completion]:
        """The answers to one prompt by one server."""
        link, version = self.links[at], self.version
        reply = self._reply(link, question)
        drew = reply.get("weight_version") or self._version_at(link)
        if drew != version:
            self.redrawn += question.n
            raise Passing(f"drew by the weights {drew!r} instead of {version!r}", gone=True)
        try:
            return self._completions(question, reply)
        except UNREADABLE as error:
            said = link.endpoint.shown(str(reply))
            raise Passing(f"sent no answers by token ids ({error}) but: {said}") from error

    def _reply(self, link: _Link, question: _Question) -> dict[str, Any]:
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

    def _body(self, link: _Link, question: _Question) -> dict[str, Any]:
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

    def _version_at(self, link: _Link) -> str | None:
        found: str | None = self._asked(link, "/weight_info", lambda said: said["weight_version"])
        return found

    def _gave_up(self, at: int, failure: Passing, tries: int) -> str:
        address = self.links[at].endpoint.address
        return (
            f"The rollout server {address} {failure}. Gave up after {tries} "
            f"{'try' if tries == 1 else 'tries'}, and no other server is left. See whether "
            f"{' and '.join(self.servers.addresses)} run and reach this host; then run the same "
            "command again: what is finished is kept."
        )

    def _lost(self, at: int) -> None:
        """Whatever weights it has, it is sent new ones before it is asked again."""
        self.links[at].version = None

    def _send(self, at: int) -> None:
        """Give a server the weights that were published last.

        Raises Passing where it cannot take them now, UserError where it never will.
        """
        link, version, weights = self.links[at], self.version, self.weights
        with link.lock:
            met = link.group is not None
            try:
                try:
                    self._update(link, version, weights)
                except (UserError, RuntimeError):
                    if not met:
                        raise
                    self._part(link)  # a server that was begun anew knows no group of ours
                    self._update(link, version, weights)
            except Passing as failure:
                self._part(link)
                raise Passing(str(failure), wait=failure.wait, gone=True) from failure
            except (RuntimeError, OSError) as error:  # of torch.distributed, whatever went wrong
                self._part(link)
                said = link.endpoint.shown(str(error))
                raise Passing(f"did not take the weights: {said}", gone=True) from error
            link.version = version

    def _update(self, link: _Link, version: str, weights: Mapping[str, Tensor]) -> None:
        if not link.model:
            link.model = self._asked(link, "/v1/models", lambda said: str(said["data"][0]["id"]))
        if link.group is None:
            link.group = self._meet(link)
        self._told(link, "POST", "/pause?mode=abort")
        self._told(link, "POST", "/start_weight_update", {})
        self._move(link, link.group, weights)
        self._told(link, "POST", "/finish_weight_update", {"weight_version": version})
        self._told(link, "POST", "/reset_prefix_cache")
        self._told(link, "POST", "/resume")

    def _meet(self, link: _Link) -> Group:
        """A new group with a server's processes."""
        size = 1 + self._asked(link, "/get_world_size", lambda said: int(said["world_size"]))
        url = httpx2.URL(link.endpoint.address)
        own = self.servers.host or own_address(url.host, url.port or 80)
        at = opened(self.servers.transfer, own, size, self.servers.timeout)
        where = {"master_address": at.address, "master_port": at.port}
        told = {"init_info": {**where, "rank_offset": 1, "world_size": size}}
        return _while_told(
            lambda: self._told(link, "POST", "/init_weight_transfer_engine", told),
            lambda: GROUPS[self.servers.transfer](at),
        )

    def _move(self, link: _Link, group: Group, weights: Mapping[str, Tensor]) -> None:
        """The weights themselves."""
        update = {
            "names": list(weights),
            "dtype_names": [str(w.dtype).removeprefix("torch.") for w in weights.values()],
            "shapes": [list(w.shape) for w in weights.values()],
        }

        def broadcast() -> None:
            for weight in weights.values():
                group.broadcast(weight.to(group.device).contiguous())

        _while_told(
            lambda: self._told(link, "POST", "/update_weights", {"update_info": update}), broadcast
        )

    def _asked(self, link: _Link, path: str, read: Callable[[Any], Outcome]) -> Outcome:
        """What a server says of itself."""
        response = self._told(link, "GET", path)
        try:
            return read(response.json())
        except UNREADABLE as error:
            said = link.endpoint.shown(message(response))
            raise Passing(f"says at {path}: {said}", gone=True) from error

    def _told(
        self, link: _Link, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> httpx2.Response:
        """Tell a server something that it must not refuse."""
        response = link.endpoint.request(method, path, body)
        if response.status_code != 200:
            said = link.endpoint.shown(message(response))
            raise UserError(
                f"{link.endpoint.address}{path} answered {response.status_code}: {said}. A rollout "
                "server is started by `heed rollouts MODEL`, or by vLLM with "
                "VLLM_SERVER_DEV_MODE=1 and --weight-transfer-config, and serves the very model "
                f"that trains; the key is read from {self.servers.key}."
            )
        return response

    def _part(self, link: _Link) -> None:
        group, link.group, link.version = link.group, None, None
        if group is not None:
            group.close()


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


def _while_told(tell: Callable[[], Any], act: Callable[[], Outcome]) -> Outcome:
    """act(), while a server does its part because it is told to; what it refuses is raised at once,
    though `act` waits for it yet (in a thread of its own, until that is too long).
    """
    done: dict[str, Any] = {}
    changed = threading.Condition()

    def run(name: str, step: Callable[[], Any]) -> None:
        try:
            outcome = step()
        except BaseException as error:
            outcome = error
        with changed:
            done[name] = outcome
            changed.notify_all()

    for name, step in (("told", tell), ("acted", act)):
        threading.Thread(target=run, args=(name, step), daemon=True, name="heed-weights").start()
    with changed:
        while len(done) < 2:
            changed.wait()
            for name in ("told", "acted"):  # a refusal says more than the end of the line
                if isinstance(done.get(name), BaseException):
                    raise done[name]
    outcome: Outcome = done["acted"]
    return outcome
