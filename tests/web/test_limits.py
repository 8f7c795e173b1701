"""Limits of size, time and number, in front of a small app of their own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from heed.web.limits import BodyLimit, Buckets, Limits, RateLimit


def test_a_bucket_holds_a_burst_and_fills_again() -> None:
    buckets = Buckets(rate=2.0, burst=3)
    assert [buckets.take("a", now=0.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert buckets.take("a", now=0.5) == 0.0
    assert buckets.take("a", now=0.5) == 0.5
    assert buckets.take("b", now=0.5) == 0.0
    assert [buckets.take("a", now=1e6) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


def test_only_so_many_buckets_are_kept() -> None:
    buckets = Buckets(rate=1.0, burst=1, size=2)
    assert buckets.take("a", now=0.0) == 0.0
    assert buckets.take("b", now=0.0) == 0.0
    assert buckets.take("a", now=0.0) > 0
    assert buckets.take("c", now=0.0) == 0.0  # forgets b, which was used longest ago
    assert buckets.take("a", now=0.0) > 0
    assert len(buckets._levels) == 2


class Asked:
    """One request by ASGI, body in pieces; what the app got and what was answered."""

    def __init__(self, pieces: list[bytes], headers: dict[str, str] | None = None, **more: Any):
        self.pieces, self.sent, self.got = list(pieces), list[Message](), b""
        raw = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        self.scope: Scope = {
            "type": "http", "method": "POST", "path": "/api/x", "headers": raw,
            "query_string": b"", "client": ("10.0.0.1", 1), **more,
        }  # fmt: skip
        self.reached = False

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached = True
        message = await receive()
        self.got = message["body"]
        assert not message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive(self) -> Message:
        if not self.pieces:
            await asyncio.sleep(30)
        piece = self.pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(self.pieces)}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    def answer(self, middleware: Any) -> tuple[int, bytes]:
        asyncio.run(middleware(self.scope, self.receive, self.send))
        return self.sent[0]["status"], self.sent[1]["body"]


LIMITS = Limits(body_bytes=10, body_seconds=0.2)


@pytest.mark.parametrize(
    ("pieces", "headers", "status"),
    [
        ([b"0123456789"], {"Content-Length": "10"}, 200),
        ([b"01234", b"56789"], {}, 200),
        ([b""], {}, 200),
        ([b"0123456789a"], {}, 413),
        ([b"01234", b"5678", b"9", b"a"], {}, 413),
        ([b"x"], {"Content-Length": "11"}, 413),
        ([b"x"], {"Content-Length": "1" + "0" * 10_000}, 413),
        ([b"x" * 11], {"Content-Length": "1"}, 413),
        ([b"x" * 11], {"Content-Length": "-1"}, 413),
        ([b"x" * 11], {"Content-Length": "\u00b2"}, 413),
        ([b"x" * 11], {"Content-Length": "many"}, 413),
    ],
)
def test_a_body_is_limited_whatever_is_announced(
    pieces: list[bytes], headers: dict[str, str], status: int
) -> None:
    asked = Asked(pieces, headers)
    assert asked.answer(BodyLimit(asked.app, LIMITS))[0] == status
    assert asked.reached == (status == 200)
    if asked.reached:
        assert asked.got == b"".join(pieces)


def test_reading_stops_where_the_limit_is_passed() -> None:
    asked = Asked([b"x" * 11, *[b"x"] * 100])
    status, body = asked.answer(BodyLimit(asked.app, LIMITS))
    assert (status, b"10 bytes" in body) == (413, True)
    assert len(asked.pieces) == 100


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    asked = Asked([b"x", b"y"])
    asked.pieces.pop()

    async def first_then_nothing() -> Message:
        if asked.pieces:
            return {"type": "http.request", "body": asked.pieces.pop(), "more_body": True}
        await asyncio.sleep(30)
        raise AssertionError("waited")

    asked.receive = first_then_nothing  # type: ignore[method-assign]
    assert asked.answer(BodyLimit(asked.app, LIMITS))[0] == 408
    assert not asked.reached


def test_half_a_body_of_a_client_that_left_is_not_acted_on() -> None:
    asked = Asked([b"name=An"])

    async def part_then_gone() -> Message:
        if asked.pieces:
            return {"type": "http.request", "body": asked.pieces.pop(), "more_body": True}
        return {"type": "http.disconnect"}

    asyncio.run(BodyLimit(asked.app, LIMITS)(asked.scope, part_then_gone, asked.send))
    assert not asked.reached
    assert asked.sent == []


def test_addresses_and_sessions_have_rates_of_their_own() -> None:
    limits = Limits(session_rate=0.001, session_burst=2, address_rate=0.001, address_burst=5)
    rate: RateLimit

    def ask(address: str, cookie: str = "") -> int:
        headers = {"Cookie": f"heed=\u00e9{cookie}"} if cookie else {}
        asked = Asked([b""], headers, client=(address, 1))
        rate.app = asked.app
        status, body = asked.answer(rate)
        assert status == 200 or b'"error":"too_many"' in body
        return status

    async def nowhere(*_: Any) -> None: ...

    rate = RateLimit(nowhere, limits, "heed")
    assert [ask("10.0.0.1", "anna") for _ in range(3)] == [200, 200, 429]
    assert [ask("10.0.0.2", "anna")] == [429]
    assert [ask("10.0.0.1", "bert")] == [200]
    assert [ask("10.0.0.1") for _ in range(2)] == [200, 429]
    assert [ask("10.0.0.3") for _ in range(6)] == [200] * 5 + [429]


def test_an_office_behind_one_address_can_open_the_page_together() -> None:
    """A hundred people, three requests and twenty files of the page's own each, at once."""
    app = Asked([b""]).app
    rate = RateLimit(app, Limits(), "heed")

    def ask(person: int, path: str) -> int:
        asked = Asked([b""], {"Cookie": f"heed={person}"}, path=path)
        rate.app = asked.app
        return asked.answer(rate)[0]

    files = [f"/static/{number}.js" for number in range(20)]
    paths = ["/join/x", "/label", "/api/next", *files]
    assert {ask(person, path) for person in range(100) for path in paths} == {200}
