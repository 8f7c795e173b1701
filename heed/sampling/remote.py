"""The sampler behind HTTP: any server that speaks OpenAI's chat completions.

No torch here, so that the judge, the arena and `heed label` can sample without loading it.
"""

from __future__ import annotations

import json
import os
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any

import httpx2

from heed.errors import UserError
from heed.run import derive_seed
from heed.types import Completion, Finish, Prompt

RETRIED = frozenset({408, 429})
"""Refusals that pass by themselves; so do all 5xx."""
FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
"""Seconds before the first retry, and at most before a later one, where the server names none."""
PATIENCE = 300.0
"""A server that asks for a longer pause than this is told to the user instead."""
SHOWN = 300
"""Characters of a server's words in a message."""
KEPT = ("content-type", "retry-after")
"""Headers of a reply that are read."""
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What comes of taking for a chat completion what is none."""
SEEDS = 2**31
"""Servers differ in the seeds they take; all take 31 bits."""


@dataclass(frozen=True)
class EndpointSampler:
    """Answers prompts through POST {address}/v1/chat/completions, by `heed.types.Sampler`.

    Every answer is a request of its own, with a seed of its own that follows from `sample`'s;
    whether equal seeds give equal answers is the server's affair. What passes by itself
    (time-outs, lost connections, broken replies, 408, 429 and 5xx) is asked again, up to `retries`
    times, after a pause that doubles; a Retry-After header is waited for.

    Args:
        address: of the server, with or without /v1, such as http://localhost:8000.
        model: its name on the server.
        stop: texts at which an answer ends.
        api_key_variable: the environment variable that holds the key, if the server wants one. It
            is read when a request is made, and neither kept nor shown.
        timeout: seconds a request may take, until the last byte of its reply.
        retries: further tries of a request that failed.
        concurrency: requests under way at a time.
        body: further keys of the request, such as `reasoning_effort`; null leaves a key out.

    Raises UserError for settings that cannot work.
    """

    address: str
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
        _checked_url(self.address)

    @property
    def url(self) -> str:
        """Where requests go."""
        base = self.address.rstrip("/")
        return f"{base if base.endswith('/v1') else f'{base}/v1'}/chat/completions"

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
        key = _key(self.api_key_variable)
        with httpx2.Client(
            headers=_headers(key),
            timeout=self.timeout,
            limits=httpx2.Limits(max_connections=self.concurrency),
            trust_env=not _is_loopback(httpx2.URL(self.url).host),
        ) as client:
            exchange = _Exchange(self, client, key)
            return _side_by_side(exchange.completion, requests, self.concurrency, exchange.stopped)

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


@dataclass(frozen=True)
class _Request:
    """One answer that is wanted."""

    prompt: Prompt
    body: dict[str, Any]


class _Passing(Exception):  # noqa: N818 - a reason to ask again, not yet an error
    """A failure that may pass by itself; `wait` is the pause the server asked for."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.wait = wait


@dataclass(frozen=True)
class _Exchange:
    """Requests and replies of one call of `sample`."""

    sampler: EndpointSampler
    client: httpx2.Client
    key: str
    stopped: threading.Event = field(default_factory=threading.Event)

    def completion(self, request: _Request) -> Completion:
        """The answer to one request, after as many tries as are allowed."""
        for attempt in range(self.sampler.retries + 1):
            try:
                return self._ask(request)
            except _Passing as failure:
                wait = _backoff(attempt) if failure.wait is None else failure.wait
                if attempt == self.sampler.retries or wait > PATIENCE:
                    raise UserError(self._gave_up(failure, attempt + 1)) from failure
            if self.stopped.wait(wait):
                break
        raise UserError("Another request failed.")  # nobody hears: that one is reported

    def _ask(self, request: _Request) -> Completion:
        try:
            response = self._post(request.body)
        except httpx2.TimeoutException as error:
            raise _Passing(f"did not answer within {self.sampler.timeout:g} s") from error
        except httpx2.RequestError as error:
            raise _Passing(f"cannot be reached: {self._shown(str(error))}") from error
        said = self._shown(_message(response))
        if response.status_code in RETRIED or response.status_code >= 500:
            raise _Passing(f"answered {response.status_code}: {said}", _retry_after(response))
        if response.status_code != 200:
            raise UserError(self._refused(request, response.status_code, said))
        try:
            return _completion(request.prompt, self.sampler.model, response.json())
        except UNREADABLE as error:
            raise _Passing(f"sent no chat completion but: {said}") from error

    def _post(self, body: Mapping[str, Any]) -> httpx2.Response:
        """The whole reply. httpx2's own timeout is between two pieces of it, so that a server which
        sends a blank now and then (to keep a line open) would never be late.
        """
        late = time.monotonic() + self.sampler.timeout
        # Not `json=`: httpx2 would choke on half a surrogate pair, which plain JSON escapes.
        with self.client.stream("POST", self.sampler.url, content=json.dumps(body)) as reply:
            pieces = []
            for piece in reply.iter_bytes():
                pieces.append(piece)
                if time.monotonic() > late:
                    raise httpx2.ReadTimeout("the reply goes on and on")
        headers = {name: reply.headers[name] for name in KEPT if name in reply.headers}
        return httpx2.Response(reply.status_code, headers=headers, content=b"".join(pieces))

    def _refused(self, request: _Request, status: int, said: str) -> str:
        hint = HINTS.get(status, "")
        return (
            f"{self.sampler.url} answered {status} for the prompt {request.prompt.id!r} and the "
            f"model {self.sampler.model!r}: {said}.{hint.format(self.sampler.api_key_variable)}"
        )

    def _gave_up(self, failure: _Passing, tries: int) -> str:
        waiting = f" and asks to wait {failure.wait:.0f} s" if failure.wait else ""
        return (
            f"{self.sampler.url} {failure}{waiting}. Gave up after {tries} "
            f"{'try' if tries == 1 else 'tries'}: see whether the server runs and keeps up; fewer "
            "requests at a time (concurrency), a longer timeout or more retries may help."
        )

    def _shown(self, text: str) -> str:
        """A server's words: one line, shortened, without the key."""
        text = " ".join(text.replace(self.key, "***").split() if self.key else text.split())
        text = text if len(text) <= SHOWN else text[:SHOWN] + " ..."
        return text.rstrip(".") or "(nothing)"


HINTS = {
    401: " The key is read from the environment variable {}.",
    403: " The key is read from the environment variable {}.",
    404: " See whether the address is right and the server has that model.",
}
"""What a refusal by status usually means."""


def _side_by_side(
    work: Callable[[_Request], Completion],
    requests: Sequence[_Request],
    threads: int,
    stopped: threading.Event,
) -> list[Completion]:
    """work(request) of each, in order, by some threads; the first error ends all.

    The threads are daemons, so that an interrupt need not wait for a slow server.
    """
    done: queue.SimpleQueue[tuple[int, Completion | BaseException]] = queue.SimpleQueue()
    waiting: Iterator[tuple[int, _Request]] = iter(enumerate(requests))
    lock = threading.Lock()

    def run() -> None:
        while not stopped.is_set():
            with lock:
                at, request = next(waiting, (-1, None))
            if request is None:
                return
            try:
                done.put((at, work(request)))
            except BaseException as error:
                done.put((at, error))
                return

    for _ in range(min(threads, len(requests))):
        threading.Thread(target=run, daemon=True, name="heed-endpoint").start()
    results: dict[int, Completion] = {}
    try:
        while len(results) < len(requests):
            at, result = done.get()
            if isinstance(result, BaseException):
                raise result
            results[at] = result
    finally:
        stopped.set()
    return [results[at] for at in range(len(requests))]


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


def _message(response: httpx2.Response) -> str:
    """What a server says of an error: the message in its JSON, or the body as it is."""
    try:
        said = response.json()
    except UNREADABLE:
        return response.text
    for name in ("error", "detail", "message"):
        if isinstance(said, dict) and said.get(name):
            said = said[name]
    return str(said)


def _backoff(attempt: int) -> float:
    """Doubling pauses, with jitter so that threads do not come back all at once."""
    return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(attempt, 16)) * (1 - random.random() / 2)


def _retry_after(response: httpx2.Response) -> float | None:
    """Seconds to wait by the server's header (a number or a date), if it has a valid one."""
    value = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # a year beyond any integer overflows
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, float((when - datetime.now(UTC)).total_seconds()))


def _key(variable: str) -> str:
    """The key in an environment variable, "" where there is none."""
    key = os.environ.get(variable, "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UserError(f"The environment variable {variable} holds no key: it is no plain word.")
    return key


def _headers(key: str) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    return {**headers, "Authorization": f"Bearer {key}"} if key else headers


def _checked_url(address: str) -> None:
    try:
        url = httpx2.URL(address)
    except (httpx2.InvalidURL, TypeError) as error:
        raise UserError(f"Endpoint: the address is malformed: {error}.") from error
    if url.userinfo:
        raise UserError(
            "Endpoint: the address holds a user name or a password, which would be shown in "
            "records. Give the key in an environment variable (api_key_variable)."
        )
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
        raise UserError(
            f"Endpoint: the address is like http://localhost:8000 or https://host/v1, not "
            f"{address!r}."
        )


def _is_loopback(host: str) -> bool:
    """Whether requests stay on this machine, where no proxy has to be asked."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
