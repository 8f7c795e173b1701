"""Serving: whose word is taken for where a visitor comes from."""

from __future__ import annotations

import json
import threading
from typing import Any
from urllib.request import Request, urlopen

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi import Request as Asked

from heed.web.server import listen, serve


@pytest.mark.parametrize("proxied", [False, True])
def test_only_a_proxys_word_is_taken_for_an_address(
    monkeypatch: pytest.MonkeyPatch, proxied: bool
) -> None:
    """Else a visitor would have a new rate limit with every X-Forwarded-For of their own making."""
    app = FastAPI()

    @app.get("/")
    def who(asked: Asked) -> str:
        return asked.client.host if asked.client else ""

    running: list[uvicorn.Server] = []

    class Kept(uvicorn.Server):
        def __init__(self, config: uvicorn.Config) -> None:
            super().__init__(config)
            running.append(self)

    monkeypatch.setattr(uvicorn, "Server", Kept)
    sock = listen("127.0.0.1", 0)
    address = f"http://127.0.0.1:{sock.getsockname()[1]}/"
    settings: dict[str, Any] = {"proxied": True} if proxied else {}
    thread = threading.Thread(target=serve, args=(app, sock), kwargs=settings)
    thread.start()
    try:
        with urlopen(Request(address, headers={"X-Forwarded-For": "10.1.2.3"}), timeout=10) as told:
            assert json.load(told) == ("10.1.2.3" if proxied else "127.0.0.1")
    finally:
        running[0].should_exit = True
        thread.join(10)
