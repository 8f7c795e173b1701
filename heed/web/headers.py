"""What stands around every answer: security headers, the check of the Host, the last resort.

Pure ASGI, outermost, so that it also holds for refusals of the middleware and for defects.
"""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from heed.web.errors import Refusing, refusal
from heed.web.server import is_loopback

HERE = Path(__file__).parents[1]
log = logging.getLogger("heed.web")

POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",  # addresses of invitations hold their tokens
    # A browser that looks up the hosts of links tells their owner that an answer is being read.
    "X-DNS-Prefetch-Control": "off",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Shield:
    """Adds the headers to every answer; a defect becomes a plain 500 and a line in the log.

    The log gets the kind of the exception and where it was raised, never its message, which may
    hold a token or what somebody wrote.
    """

    def __init__(self, app: ASGIApp, refuse: Refusing = refusal) -> None:
        self.app, self.refuse = app, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False
        caching = "no-cache" if scope["path"].startswith("/static/") else "no-store"

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers.update({**HEADERS, "Cache-Control": caching})
            await send(message)

        try:
            await self.app(scope, receive, guarded)
        except Exception as error:  # the last resort of a server
            log.error("%s failed: %s at %s", scope["method"], type(error).__name__, _where(error))
            if not started:
                message = "Something broke here; nothing was saved."
                answer = self.refuse(Request(scope), 500, "defect", message, None)
                await answer(scope, receive, guarded)


def _where(error: Exception) -> str:
    """The places in our own files that the exception passed, and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames[:-1] if Path(frame.filename).is_relative_to(HERE)]
    return ", ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in [*ours, frames[-1]])


class LoopbackHost:
    """Refuses names that are not this machine's.

    Without accounts every visitor is the owner, so a page elsewhere whose name is made to point
    here (DNS rebinding) must not be one.
    """

    def __init__(self, app: ASGIApp, refuse: Refusing = refusal) -> None:
        self.app, self.refuse = app, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope)
            if not is_loopback(_name(request.headers.get("host", ""))):
                message = "This server answers to 127.0.0.1 and localhost only."
                await self.refuse(request, 421, "host", message, None)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _name(host: str) -> str:
    """The name or address in a Host header: without the port, and IPv6 without its brackets."""
    name, colon, port = host.rpartition(":")
    name = (name if colon and port.isdigit() else host).lower()
    if name.startswith("[") and name.endswith("]"):
        return name[1:-1]
    return "" if ":" in name else name
