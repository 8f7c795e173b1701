"""A rollout server, in this process, that draws at another temperature than it is asked for."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import Future
from dataclasses import replace

import uvicorn

from heed.models.language_model import LanguageModel
from heed.models.reference import frozen_copy
from heed.sampling.rollout_engine import Ask, Drawn, Engine
from heed.sampling.rollout_server import rollout_app


class Warm(Engine):
    """Its log-probs are those at which it draws, as a server's are that is set up wrongly."""

    heat = 1.0
    """What temperatures are multiplied with."""

    def submit(self, ask: Ask) -> Future[list[Drawn]]:
        alike = replace(ask.alike, temperature=self.heat * ask.alike.temperature)
        return super().submit(replace(ask, alike=alike))


def serve(lm: LanguageModel, heat: float) -> str:
    """The address of such a server of a copy of a policy, until this process ends."""
    engine = Warm(frozen_copy(lm))
    engine.heat = heat
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(rollout_app(engine, "policy"), log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True).start()
    while not server.started:
        time.sleep(0.005)
    return f"http://127.0.0.1:{listener.getsockname()[1]}"
