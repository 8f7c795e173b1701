"""What an annotator's browser does of HTTP: connections that stay open, cookies, the CSRF token.

Streams of asyncio and the little of HTTP/1.1 that Heed's server speaks. A request costs this client
0.1 ms of processor time and httpx2.AsyncClient 0.8 ms, which on two cores is measured with the
server. What counts as "try again" and what as "no" is as in the page's api.js.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

PATIENCE = 15.0
"""Seconds after which the page gives up on an answer and asks again."""
TOO_SOON = {408, 425, 429}
AT_ONCE = 6
"""Connections that a browser opens to one server to load a page."""

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Unreachable(Exception):  # noqa: N818 - what happened, in the words of the page
    """The server could not be asked, or asked to be left alone for `wait` seconds."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


class Refused(Exception):  # noqa: N818 - what happened, in the words of the page
    """The server understood and said no."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(f"{status} {error}")
        self.status, self.error = status, error


@dataclass(frozen=True)
class Reply:
    """What came back; of several headers of one name the last, but every cookie."""

    status: int
    headers: dict[str, str]
    cookies: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Browser:
    """One person's. `troubles` counts, for all browsers that share it, why requests failed."""

    host: str
    port: int
    troubles: Counter[str]
    cookies: dict[str, str] = field(default_factory=dict)
    csrf: str = ""
    _idle: list[Connection] = field(default_factory=list)

    async def join(self, token: str, name: str) -> list[str]:
        """Redeem an invitation and open the comparing page, as its links lead.

        Returns the addresses of what the page is made of.
        """
        await self._page("GET", f"/join/{token}")
        form = {"csrf": self.cookies["heed_visitor"], "name": name}
        went = await self._page("POST", f"/join/{token}", urlencode(form).encode())
        assert went.status == 303, f"{name} could not join: {went.status}"
        await self._page("GET", went.headers["location"])
        page = (await self._page("GET", "/label")).text
        found = re.search(r'name="csrf" content="([^"]+)"', page)
        assert found, f"{name} got a page without a token"
        self.csrf = found[1]
        return sorted(set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page)))

    async def load(self, addresses: list[str]) -> int:
        """Fetch a page's parts as a browser does; how many of them did not come."""
        waiting, missing = iter(addresses), 0

        async def fetch() -> None:
            nonlocal missing
            for address in waiting:
                missing += (await self.send("GET", address)).status != 200

        await asyncio.gather(*(fetch() for _ in range(AT_ONCE)))
        return missing

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """What the server answers, as JSON.

        Raises:
            Unreachable: worth another try.
            Refused: it is not.
        """
        content = b"" if body is None else json.dumps(body).encode()
        reply = await self.send(method, path, content)
        if reply.status == 200:
            return json.loads(reply.body)
        error = json.loads(reply.body).get("error", "")
        self.troubles[f"{reply.status} {error}"] += 1
        if reply.status >= 500 or reply.status in TOO_SOON:
            raise Unreachable(str(reply.status), float(reply.headers.get("retry-after", 0)))
        raise Refused(reply.status, error)

    async def send(
        self, method: str, path: str, body: bytes = b"", kind: str = "application/json"
    ) -> Reply:
        """One request and its reply. Raises Unreachable where none comes."""
        connection: Connection | None = None
        try:
            async with asyncio.timeout(PATIENCE):
                connection = await self._connection()
                connection[1].write(self._head(method, path, body, kind) + body)
                reply = await _read(connection[0])
        except (OSError, EOFError) as error:  # TimeoutError is an OSError
            _drop(connection)
            what = "timeout" if isinstance(error, TimeoutError) else "no connection"
            self.troubles[what] += 1
            raise Unreachable(what) from error
        except BaseException:
            _drop(connection)
            raise
        self.cookies.update(reply.cookies)
        if reply.headers.get("connection") == "close":
            _drop(connection)
        else:
            self._idle.append(connection)
        return reply

    def close(self) -> None:
        """Let go of the connections."""
        for connection in self._idle:
            _drop(connection)
        self._idle.clear()

    async def _page(self, method: str, path: str, form: bytes = b"") -> Reply:
        """A page, asked for until the server lets us; joining is not counted as labelling."""
        while True:
            reply = await self.send(method, path, form, "application/x-www-form-urlencoded")
            if reply.status not in TOO_SOON:
                return reply
            self.troubles[f"{reply.status} page"] += 1
            await asyncio.sleep(float(reply.headers.get("retry-after", 1)))

    async def _connection(self) -> Connection:
        while self._idle:
            reader, writer = self._idle.pop()
            if not (reader.at_eof() or writer.is_closing()):
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self.host, self.port)

    def _head(self, method: str, path: str, body: bytes, kind: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}:{self.port}"]
        if self.cookies:
            lines.append("Cookie: " + "; ".join(f"{k}={v}" for k, v in self.cookies.items()))
        if self.csrf and method != "GET":
            lines.append(f"X-CSRF-Token: {self.csrf}")
        if method != "GET":
            lines += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode()


async def _read(reader: asyncio.StreamReader) -> Reply:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    cookies: dict[str, str] = {}
    for line in filter(None, head[1:]):
        name, _, value = line.partition(": ")
        if name.lower() == "set-cookie":
            cookie, _, worth = value.partition(";")[0].partition("=")
            cookies[cookie] = worth.strip('"')
        headers[name.lower()] = value
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Reply(int(head[0].split(" ", 2)[1]), headers, cookies, body)


def _drop(connection: Connection | None) -> None:
    if connection is not None:
        connection[1].close()
