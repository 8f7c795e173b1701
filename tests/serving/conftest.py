"""Served toy policies, and clients of theirs."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import httpx2
import openai
import pytest
import uvicorn
from fastapi import FastAPI

from heed.models.language_model import LanguageModel
from heed.sampling.engine import LocalEngine
from heed.serving.app import create_app
from heed.serving.roster import Roster
from heed.serving.site import Site


@dataclass
class Served:
    """A server on a free port, its state, and the models behind its names."""

    address: str
    app: FastAPI
    models: dict[str, LanguageModel]
    thread: threading.Thread
    server: uvicorn.Server
    opened: ExitStack

    @property
    def site(self) -> Site:
        site: Site = self.app.state.site
        return site

    def held(self, name: str = "one") -> threading.Event:
        """The engine behind that name writes nothing until the event that comes back is set."""
        engine: Any = self.site.roster.find(name).engine
        write, free = engine._write, threading.Event()

        def waits() -> None:
            assert free.wait(60)
            write()

        engine._write = waits
        return free

    def client(self, key: str = "none", **more: Any) -> openai.OpenAI:
        """The official client, which tries nothing twice unless it is told to."""
        options = {"max_retries": 0, "timeout": 30.0, **more}
        plain = openai.DefaultHttpxClient(verify=False)  # certificates take long to load
        client = openai.OpenAI(
            base_url=f"{self.address}/v1", api_key=key, http_client=plain, **options
        )
        return self.opened.enter_context(client)

    @cached_property
    def plain(self) -> httpx2.Client:
        """A client without any ways of its own."""
        return self.opened.enter_context(httpx2.Client(base_url=self.address, verify=False))

    def post(self, path: str, body: Any, **more: Any) -> httpx2.Response:
        """A plain request."""
        return self.plain.post(path, **{"json": body, "timeout": 30.0, **more})

    def get(self, path: str, **more: Any) -> httpx2.Response:
        """A plain request."""
        return self.plain.get(path, timeout=30.0, **more)


def until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for something to be so, and fail where it never is."""
    late = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < late
        time.sleep(0.005)


@contextmanager
def running(app: FastAPI, deadline: int) -> Iterator[tuple[str, threading.Thread, Any]]:
    """The app behind a socket until the block ends."""
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app, log_level="critical", ws="none", timeout_graceful_shutdown=deadline
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(
            target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True
        )
        thread.start()
        while not server.started:
            time.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", thread, server
        finally:
            server.should_exit = True
            thread.join(10)


@pytest.fixture
def serve(toy_lm: Callable[..., LanguageModel]) -> Iterator[Callable[..., Served]]:
    """Serves toy policies by name: what `toy_lm` takes for each, the rest is the app's.

    A word is a seed: `roster.reload({"a": "7"})` gives the name the weights of that seed.
    """
    with ExitStack() as opened:

        def start(
            named: Mapping[str, int],
            *,
            ends: float = 1.0,
            slots: int = 4,
            waiting: int = 64,
            deadline: int = 2,
            **more: Any,
        ) -> Served:
            models: dict[str, LanguageModel] = {}

            def make(name: str, word: str) -> Callable[[], tuple[LocalEngine, str]]:
                def load() -> tuple[LocalEngine, str]:
                    models[name] = toy_lm(int(word), ends=ends)
                    own = LocalEngine(models[name], name=name, slots=slots, waiting=waiting)
                    return own, f"seed {word}"

                return load

            app = create_app(
                Roster({name: str(seed) for name, seed in named.items()}, make), **more
            )
            address, thread, server = opened.enter_context(running(app, deadline))
            clients = opened.enter_context(ExitStack())
            return Served(address, app, models, thread, server, clients)

        yield start
