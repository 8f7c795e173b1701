"""Limits on what one visitor may send: the size of a body, and how many requests.

Both are ASGI middleware, so that they hold before any route is chosen or any body is read.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256

import anyio
from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from heed.web.errors import Refusing, refusal

CLOSE = {"Connection": "close"}
DIGITS = 15
"""A longer length is too large, and Python takes long to read the longest."""


@dataclass(frozen=True)
class Limits:
    """How much a visitor may send.

    A session may send `session_burst` requests at once and `session_rate` a second after that; an
    address, which may stand for a whole office, likewise. The page's own files (/static/) are not
    counted: a page that misses one of its scripts is broken, and they cost little. `body_seconds`
    is the time that a body may take to arrive.
    """

    body_bytes: int = 256 * 1024
    body_seconds: float = 20.0
    session_rate: float = 20.0
    session_burst: int = 200
    address_rate: float = 1000.0
    address_burst: int = 4000


class Buckets:
    """Token buckets by key (Turner 1986): `burst` at once, `rate` a second after that.

    Held in memory, at most `size` of them; the one that was used longest ago is forgotten first,
    which is the one that is nearest to full.
    """

    def __init__(self, rate: float, burst: int, size: int = 10_000) -> None:
        self.rate, self.burst, self.size = rate, burst, size
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: str, now: float | None = None) -> float:
        """Take one token; 0.0, or the seconds to wait until there is one."""
        now = time.monotonic() if now is None else now
        with self._lock:
            level, since = self._levels.pop(key, (float(self.burst), now))
            level = min(self.burst, level + (now - since) * self.rate)
            wait = 0.0 if level >= 1.0 else (1.0 - level) / self.rate
            self._levels[key] = (level if wait else level - 1.0, now)
            if len(self._levels) > self.size:
                self._levels.popitem(last=False)
        return wait


class RateLimit:
    """Answers 429 to an address or a session that asks too often."""

    def __init__(self, app: ASGIApp, limits: Limits, session_cookie: str) -> None:
        self.app, self.cookie = app, session_cookie
        self.addresses = Buckets(limits.address_rate, limits.address_burst)
        self.sessions = Buckets(limits.session_rate, limits.session_burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope)
            wait = self._wait(request)
            if wait:
                seconds = {"Retry-After": str(math.ceil(wait))}
                message = "Too many requests; wait a moment and try again."
                await refusal(request, 429, "too_many", message, seconds)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _wait(self, request: Request) -> float:
        if request.url.path.startswith("/static/"):
            return 0.0
        wait = self.addresses.take(request.client.host if request.client else "")
        token = request.cookies.get(self.cookie)
        if wait or token is None:
            return wait
        return self.sessions.take(sha256(token.encode(errors="replace")).hexdigest())


class BodyLimit:
    """Answers 413 to a body that is too large, whatever its Content-Length says or leaves out.

    The body is read here, whole, and handed on; 408 if it does not arrive in time.
    """

    def __init__(self, app: ASGIApp, limits: Limits, refuse: Refusing = refusal) -> None:
        self.app, self.limits, self.refuse = app, limits, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        try:
            with anyio.fail_after(self.limits.body_seconds):
                body = await self._read(request, receive)
        except ClientDisconnect:
            return  # what came is a part, and nobody waits for an answer
        except TimeoutError:
            message = "The request did not arrive in time."
            answer = self.refuse(request, 408, "too_slow", message, CLOSE)
            await answer(scope, receive, send)
            return
        if body is None:
            message = f"A request may carry {self.limits.body_bytes:,} bytes."
            answer = self.refuse(request, 413, "too_large", message, CLOSE)
            await answer(scope, receive, send)
            return
        await self.app(scope, _replay(body, receive), send)

    async def _read(self, request: Request, receive: Receive) -> bytes | None:
        """The body, or None where it is too large."""
        announced = request.headers.get("content-length", "0")
        if announced.isascii() and announced.isdigit():
            length = int(announced) if len(announced) <= DIGITS else math.inf
            if length > self.limits.body_bytes:
                return None
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise ClientDisconnect
            body += message.get("body", b"")
            if len(body) > self.limits.body_bytes:
                return None
            if not message.get("more_body", False):
                return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
