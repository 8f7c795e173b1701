"""POST /v1/chat/completions and /v1/completions, whole or as a stream of server-sent events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from heed.sampling.asked import Asked
from heed.serving.asking import ChatBody, CompletionBody, read
from heed.serving.bell import Hearing
from heed.serving.callers import Caller, caller_of
from heed.serving.errors import TOLD, Refused, error_body, understood
from heed.serving.site import Chosen, Site, site_of
from heed.serving.ways import PLAIN, Outcome
from heed.serving.wire import (
    DONE,
    ChatShape,
    Choice,
    Head,
    Shape,
    TextShape,
    event,
    new_id,
    usage,
)
from heed.types import Reply as Given

router = APIRouter()
T = TypeVar("T")
GONE = 499
"""The status of a request whose client went away; nobody reads it."""


@router.post("/v1/chat/completions")
async def chat(request: Request) -> Response:
    """An answer to a conversation."""
    return await respond(request, await read(request, ChatBody), ChatShape())


@router.post("/v1/completions")
async def text(request: Request) -> Response:
    """The continuation of a text."""
    return await respond(request, await read(request, CompletionBody), TextShape())


@dataclass
class Reply:
    """One request on its way: who asked what of whom, and what is counted of it."""

    site: Site
    caller: Caller
    chosen: Chosen
    body: ChatBody | CompletionBody
    shape: Shape
    asked: Asked
    head: Head
    began: float = field(default_factory=time.monotonic)

    @property
    def logprobs(self) -> bool:
        """Whether they are wanted: true of a chat, 0 (no others beside them) of a text."""
        return self.body.logprobs is not None and self.body.logprobs is not False

    @property
    def places(self) -> int:
        """Answers that are written for it at a time."""
        return self.asked.n * (self.chosen.way or PLAIN).many

    def enter(self) -> None:
        """Take the caller's places."""
        self.site.places.take(self.caller, self.places)

    def leave(self, status: int) -> None:
        """Give them back, and count the request."""
        self.site.places.leave(self.caller, self.places)
        model = self.chosen.model
        self.site.counts.add("heed_requests_total", model=model, status=str(status))
        self.site.counts.time("heed_answer_seconds", time.monotonic() - self.began, model=model)
        if status == GONE:
            self.site.counts.add("heed_gone_total", model=model)

    def cost(self, prompt: int, drawn: int) -> None:
        """Count the tokens."""
        counts, model = self.site.counts, self.chosen.model
        counts.add("heed_prompt_tokens_total", prompt, model=model)
        counts.add("heed_tokens_total", drawn, model=model)

    async def remember(self, choices: Sequence[Choice]) -> None:
        """Have the answers kept, so that feedback may speak of them; of a conversation alone."""
        memory = self.site.memory
        if memory is None or self.asked.ids:
            return
        given = [
            Given(
                self.head.id, choice.index, self.asked.prompt, choice.text, self.head.model,
                self.body.user or "",
            )
            for choice in choices
        ]  # fmt: skip
        await memory.remember(given)

    @property
    def headers(self) -> dict[str, str]:
        return {"X-Heed-Weights": str(self.head.version), "X-Heed-Id": self.head.id}


async def respond(request: Request, body: ChatBody | CompletionBody, shape: Shape) -> Response:
    """The reply to a request, by whichever way its model's name asks for.

    Its policy is held until all is begun, no longer: whoever reads a stream slowly must not keep
    weights in memory that were replaced.
    """
    site = site_of(request)
    chosen = site.chosen(body.model, hold=True)
    try:
        reply = _reply(request, chosen, body, shape)
        reply.enter()
        return await _responded(request, reply)
    finally:
        site.roster.release(chosen.policy)


async def _responded(request: Request, reply: Reply) -> Response:
    site, engine = reply.site, reply.chosen.policy.engine
    status = 500
    streams = False
    try:
        if reply.body.stream and reply.chosen.way is None:
            hearing = Hearing(site.bell, engine, reply.asked)
            streams = True
            return Streamed(_streamed(reply, hearing), reply, hearing)
        way = reply.chosen.way or PLAIN
        outcome = await unless_gone(request, way.answer(site.bell, engine, reply.asked))
        reply.cost(outcome.prompt_tokens, outcome.drawn)
        for what, count in outcome.guarded.items():
            model = reply.chosen.model
            site.counts.add("heed_guardrail_total", count, model=model, outcome=what)
        await reply.remember(outcome.choices)
        status = 200
        return _at_once(reply, outcome)
    except tuple(TOLD) as error:
        status = understood(error).status
        raise
    finally:
        if not streams:
            reply.leave(status)


def _reply(
    request: Request, chosen: Chosen, body: ChatBody | CompletionBody, shape: Shape
) -> Reply:
    site = site_of(request)
    engine, most = chosen.policy.engine, site.terms.tokens
    if body.longest is not None and body.longest > most:
        raise Refused(
            400, "invalid_value", f"An answer may have {most} tokens on this server.",
            param="max_tokens",
        )  # fmt: skip
    asked = body.wanted(engine, body.longest or min(engine.longest, most))
    head = Head(chosen.model, chosen.policy.version, new_id(shape))
    return Reply(site, caller_of(request), chosen, body, shape, asked, head)


def _at_once(reply: Reply, outcome: Outcome) -> Response:
    """A reply that is finished, as one object or, where a stream was asked for, as a short one."""
    headers = {**reply.headers, **outcome.headers}
    counted = usage(outcome.prompt_tokens, outcome.drawn)
    shape, head = reply.shape, reply.head
    if reply.body.stream:
        pieces = [_opening(reply, outcome.choices)]
        pieces += [_pieces(reply, outcome.choices)]
        pieces += [_closing(reply, counted)]
        return Response(b"".join(pieces), headers=headers, media_type="text/event-stream")
    choices = [shape.answer(choice, reply.logprobs) for choice in outcome.choices]
    return JSONResponse(head.made(shape.whole, choices, usage=counted), headers=headers)


async def _streamed(reply: Reply, hearing: Hearing) -> AsyncIterator[bytes]:
    """A plain answer while it is written."""
    begun = hearing.begun
    choices = [Choice(at, writing) for at, writing in enumerate(begun.writings)]
    yield _opening(reply, choices)
    first = True
    async for _ in hearing.turns():
        failed = next((writing.error for writing in begun.writings if writing.error), "")
        if failed:
            yield event(error_body(500, "engine_failed", failed))
            return
        going = [choice for choice in choices if choice.finish is None]
        for choice in going:
            choice.look()
        if first and any(writing.ids for writing in begun.writings):
            first, waited = False, time.monotonic() - reply.began
            reply.site.counts.time("heed_first_token_seconds", waited, model=reply.chosen.model)
        pieces = _pieces(reply, going)
        if pieces:
            yield pieces
    drawn = sum(len(writing.ids) for writing in begun.writings)
    await reply.remember(choices)
    yield _closing(reply, usage(len(begun.prompt_ids), drawn))


def _opening(reply: Reply, choices: list[Choice]) -> bytes:
    made = [reply.shape.opening(choice) for choice in choices]
    return b"".join(_chunk(reply, one) for one in made if one is not None)


def _pieces(reply: Reply, choices: list[Choice]) -> bytes:
    """What is new of some choices."""
    made = []
    for choice in choices:
        news = choice.news()
        if news or choice.finish is not None:
            made.append(_chunk(reply, reply.shape.piece(choice, news, reply.logprobs)))
    return b"".join(made)


def _chunk(reply: Reply, choice: dict[str, Any]) -> bytes:
    more = {"usage": None} if reply.body.usage_wanted else {}
    return event(reply.head.made(reply.shape.chunk, [choice], **more))


def _closing(reply: Reply, counted: dict[str, Any]) -> bytes:
    if not reply.body.usage_wanted:
        return DONE
    return event(reply.head.made(reply.shape.chunk, [], usage=counted)) + DONE


class Streamed(StreamingResponse):
    """A stream that gives its places back however it ends, also before it began."""

    def __init__(self, pieces: AsyncIterator[bytes], reply: Reply, hearing: Hearing) -> None:
        headers = {**reply.headers, "X-Accel-Buffering": "no"}
        super().__init__(pieces, headers=headers, media_type="text/event-stream")
        self._reply, self._begun = reply, hearing.begun

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            writings = self._begun.writings
            failed = any(writing.error for writing in writings)
            ended = all(writing.ended for writing in writings)
            self._begun.cancel()
            drawn = sum(len(writing.ids) for writing in writings)
            self._reply.cost(len(self._begun.prompt_ids), drawn)
            self._reply.leave(500 if failed else 200 if ended else GONE)


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What the work comes to, given up as soon as the client goes away.

    Raises Refused (499) then, which nobody reads.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request.receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Refused(GONE, "gone", "The client went away.")
        return task.result()
    finally:
        for each in (task, gone):
            if not each.done():
                each.cancel()
                with suppress(asyncio.CancelledError, Refused):
                    await each


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
