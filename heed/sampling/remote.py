"""The sampler behind HTTP: any server that speaks OpenAI's chat completions, or several.

No torch here, so that the judge, the arena and `heed label` can sample without loading it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any

from heed.errors import UserError
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
from heed.types import Completion, Finish, Prompt

SEEDS = 2**31
"""Servers differ in the seeds they take; all take 31 bits."""


@dataclass(frozen=True)
class EndpointSampler:
    """Answers prompts through POST {address}/v1/chat/completions, by `heed.types.Sampler`.

    Every answer is a request of its own, with a seed of its own that follows from `sample`'s;
    whether equal seeds give equal answers is the server's affair. What passes by itself
    (time-outs, lost connections, broken replies, 408, 429 and 5xx) is asked again, up to `retries`
    times, after a pause that doubles; a Retry-After header is waited for. Of several addresses the
    one with the fewest requests under way is asked, and one that is dead is left out until it
    answers again (`heed.sampling.fleet`).

    Args:
        address: of the server, with or without /v1, such as http://localhost:8000; or several, of
            servers that have the same model.
        model: its name on the server.
        stop: texts at which an answer ends.
        api_key_variable: the environment variable that holds the key, if the server wants one. It
            is read when a request is made, and neither kept nor shown.
        timeout: seconds a request may take, until the last byte of its reply.
        retries: further tries of a request that failed.
        concurrency: requests under way at a time, at each address.
        body: further keys of the request, such as `reasoning_effort`; null leaves a key out.

    Raises UserError for settings that cannot work.
    """

    address: str | Sequence[str]
    model: str
    temperature: float = 1.0
    max_new_tokens: int = 256
    top_p: float = 1.0
    stop: Sequence[str] = ()
    api_key_variable: str = "OPENAI_API_KEY"
    timeout: float = 120.0
    retries: int = 5
    concurrency: int = 8
    body: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checks = {
            "address": (bool(self.addresses), "that of a server, or several"),
            "model": (bool(self.model), "the name of a model on the server"),
            "max_new_tokens": (self.max_new_tokens >= 1, "at least 1"),
            "temperature": (self.temperature >= 0.0, "0 or more"),
            "top_p": (0.0 < self.top_p <= 1.0, "above 0 and at most 1"),
            "stop": (not isinstance(self.stop, str) and all(self.stop), "a list of texts"),
            "timeout": (self.timeout > 0, "above 0"),
            "retries": (self.retries >= 0, "0 or more"),
            "concurrency": (self.concurrency >= 1, "at least 1"),
        }
        for name, (good, want) in checks.items():
            if not good:
                raise UserError(f"Endpoint: {name} must be {want}, not {getattr(self, name)!r}.")
        for address in self.addresses:
            check_address(address)

    @property
    def addresses(self) -> list[str]:
        """Of all servers."""
        return [self.address] if isinstance(self.address, str) else list(self.address)

    @property
    def urls(self) -> list[str]:
        """Where requests go."""
        bases = [address.rstrip("/") for address in self.addresses]
        return [f"{_with_v1(base)}{PATH}" for base in bases]

    def sample(self, prompts: Sequence[Prompt], *, n: int = 1, seed: int = 0) -> list[Completion]:
        """`n` completions a prompt, prompt-major, `concurrency` requests at a time.

        Raises UserError, naming the address and what the server said, for a request that is
        refused, or fails after all retries.
        """
        requests = [
            _Request(prompt, self._body(prompt, derive_seed(seed, at * n + i) % SEEDS))
            for at, prompt in enumerate(prompts)
            for i in range(n)
        ]
        key = key_in(self.api_key_variable)
        with ExitStack() as stack:
            endpoints = [
                stack.enter_context(
                    closing(
                        Endpoint.at(
                            _with_v1(address.rstrip("/")),
                            key,
                            timeout=self.timeout,
                            connections=self.concurrency,
                        )
                    )
                )
                for address in self.addresses
            ]
            exchange = _Exchange(self, endpoints)
            fleet = Fleet(len(endpoints), concurrency=self.concurrency, retries=self.retries)
            return fleet.run(requests, exchange.ask, exchange.gave_up, threading.Event())

    def _body(self, prompt: Prompt, seed: int) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": turn.role, "content": turn.content} for turn in prompt.messages],
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_new_tokens,
            "seed": seed,
            "stop": list(self.stop) or None,
            **self.body,
        }
        return {name: value for name, value in body.items() if value is not None}


PATH = "/chat/completions"


def _with_v1(base: str) -> str:
    return base if base.endswith("/v1") else f"{base}/v1"


@dataclass(frozen=True)
class _Request:
    """One answer that is wanted."""

    prompt: Prompt
    body: dict[str, Any]


@dataclass(frozen=True)
class _Exchange:
    """Requests and replies of one call of `sample`."""

    sampler: EndpointSampler
    endpoints: Sequence[Endpoint]

    def ask(self, request: _Request, server: int) -> Completion:
        """The answer to one request, by one server.

        Raises Passing for what may pass by itself, UserError for what does not.
        """
        endpoint = self.endpoints[server]
        response = endpoint.request("POST", PATH, request.body)
        said = endpoint.shown(message(response))
        if response.status_code != 200:
            raise UserError(self._refused(request, server, response.status_code, said))
        try:
            return _completion(request.prompt, self.sampler.model, response.json())
        except UNREADABLE as error:
            raise Passing(f"sent no chat completion but: {said}") from error

    def _refused(self, request: _Request, server: int, status: int, said: str) -> str:
        hint = HINTS.get(status, "")
        return (
            f"{self.sampler.urls[server]} answered {status} for the prompt {request.prompt.id!r} "
            f"and the model {self.sampler.model!r}: {said}."
            f"{hint.format(self.sampler.api_key_variable)}"
        )

    def gave_up(self, server: int, failure: Passing, tries: int) -> str:
        waiting = f" and asks to wait {failure.wait:.0f} s" if failure.wait else ""
        return (
            f"{self.sampler.urls[server]} {failure}{waiting}. Gave up after {tries} "
            f"{'try' if tries == 1 else 'tries'}: see whether the server runs and keeps up; fewer "
            "requests at a time (concurrency), a longer timeout or more retries may help."
        )


HINTS = {
    401: " The key is read from the environment variable {}.",
    403: " The key is read from the environment variable {}.",
    404: " See whether the address is right and the server has that model.",
}
"""What a refusal by status usually means."""


def _completion(prompt: Prompt, model: str, reply: Any) -> Completion:
    """The first choice of a reply, as valid Unicode.

    Raises one of `UNREADABLE` where there is none.
    """
    choice = reply["choices"][0]
    text = choice["message"].get("content") or ""
    if not isinstance(text, str):
        raise TypeError("the content is no text")
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    finish: Finish = "length" if choice.get("finish_reason") == "length" else "stop"
    return Completion(prompt, text, finish=finish, model=model)
