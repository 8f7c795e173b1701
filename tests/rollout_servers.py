"""Rollout servers for tests: in this process, with faults, and in one of their own to be killed."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from heed.models.language_model import LanguageModel
from heed.sampling.local import LocalSampler
from heed.sampling.rollout_engine import Engine
from heed.sampling.rollout_link import Servers
from heed.sampling.rollout_server import rollout_app
from heed.sampling.rollouts import RolloutSampler
from heed.types import Prompt

ROOT = Path(__file__).parents[1]
PROMPTS = [Prompt.of(f"what is the capital of france {at} ?") for at in range(5)]
App = Callable[[Any, Any, Any], Awaitable[None]]
Fault = Callable[[App, Any, Any, Any], Awaitable[None]]
"""What becomes of a request that would have gone well."""


@contextmanager
def in_thread(app: Any, port: int = 0) -> Iterator[str]:
    """The address at which an app is served until the block ends."""
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        config = uvicorn.Config(app, log_level="critical", lifespan="off", ws="none")
        worker = uvicorn.Server(config)
        thread = threading.Thread(target=worker.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not worker.started:
                time.sleep(0.005)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            worker.force_exit = worker.should_exit = True
            thread.join()


@contextmanager
def rollout_server(
    lm: LanguageModel,
    faults: Iterable[Fault | None] = (),
    *,
    of: str = "/v1/completions",
    port: int = 0,
    key: str = "",
) -> Iterator[tuple[str, Engine]]:
    """A server of a model, whose replies at one path have faults, one a request, to their end."""
    engine = Engine(lm, timeout=10.0)
    try:
        app = Faulty(rollout_app(engine, "toy", key), iter(faults), of)
        with in_thread(app, port) as address:
            yield address, engine
    finally:
        engine.close()


def servers(*addresses: str, **more: Any) -> Servers:
    """How patiently a test deals with them."""
    return Servers(addresses, **{"timeout": 10.0, "retries": 3, "host": "127.0.0.1", **more})


def drawn(policy: LanguageModel, *addresses: str, **more: Any) -> list[Any]:
    """The ids of two answers to each prompt."""
    remote = RolloutSampler(LocalSampler(policy, max_new_tokens=8), servers(*addresses, **more))
    try:
        answers = remote.sample(PROMPTS, n=2, seed=5)
        assert [a.prompt for a in answers] == [p for p in PROMPTS for _ in range(2)]
        return [answer.ids for answer in answers]
    finally:
        remote.close()


class Faulty:
    """An app, some of whose replies are not what they should be."""

    def __init__(self, app: Any, faults: Iterator[Fault | None], path: str) -> None:
        self.app, self.faults, self.path = app, faults, path

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        planted = scope["type"] == "http" and scope["path"] == self.path
        fault = next(self.faults, None) if planted else None
        await (fault(self.app, scope, receive, send) if fault else self.app(scope, receive, send))


def saying(content: bytes, status: int = 200, length: int | None = None) -> Fault:
    """Other words than the right ones; a `length` beyond theirs is a line that was cut."""

    async def fault(app: App, scope: Any, receive: Any, send: Any) -> None:
        size = str(len(content) if length is None else length).encode()
        headers = [(b"content-length", size), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    return fault


def slow(seconds: float) -> Fault:
    async def fault(app: App, scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(seconds)
        await app(scope, receive, send)

    return fault


def changed(change: Callable[[Any], Any]) -> Fault:
    """The right reply, its JSON changed."""

    async def fault(app: App, scope: Any, receive: Any, send: Any) -> None:
        pieces: list[bytes] = []

        async def keep(message: Any) -> None:
            pieces.append(message.get("body", b""))

        await app(scope, receive, keep)
        reply = json.loads(b"".join(pieces))
        await saying(json.dumps(change(reply) or reply).encode())(app, scope, receive, send)

    return fault


failing = saying(b'{"error": {"message": "the engine stumbled"}}', 500)
garbage = saying(b"<p>Bad gateway</p>")
cut = saying(b'{"choices": [', length=1000)
