"""Rollout servers for tests: in this process, and in one of their own that can be killed."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from heed.models.language_model import LanguageModel
from heed.sampling.rollout_engine import Engine
from heed.sampling.rollout_server import rollout_app

ROOT = Path(__file__).parents[1]


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
    lm: LanguageModel, *, port: int = 0, **more: Any
) -> Iterator[tuple[str, Engine]]:
    engine = Engine(lm, timeout=10.0, **more)
    try:
        with in_thread(rollout_app(engine, "toy"), port) as address:
            yield address, engine
    finally:
        engine.close()
