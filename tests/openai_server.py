"""A local server that speaks OpenAI's chat completions, with faults where a test plants them.

    with serving(answer) as server:
        EndpointSampler(server.address, "toy").sample(...)

`answer` is any function of the messages and the request's body; `around(sampler)` makes one of a
Sampler. Faults are responses sent instead of an answer, one a request, until they are used up.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from heed.types import Completion, Message, Prompt, Sampler

Body = dict[str, Any]
Answer = Callable[[Sequence[Message], Body], "str | Completion"]
Fault = Callable[[Response], Response]
"""What becomes of the response that would have been right."""


@dataclass
class Server:
    """Where the server listens, and every request it got."""

    address: str
    bodies: list[Body] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    most_at_once: int = 0


@contextmanager
def serving(
    answer: Answer,
    faults: Iterable[Fault] = (),
    *,
    models: Sequence[str] = ("toy",),
    port: int = 0,
) -> Iterator[Server]:
    """Serve on a free port of the loopback, or on this one, until the block ends."""
    # asyncio turns Nagle's algorithm (40 ms an answer) off only where the protocol is named.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        server = Server(f"http://127.0.0.1:{listener.getsockname()[1]}")
        app = _app(server, answer, iter(faults), models)
        config = uvicorn.Config(app, log_level="critical", lifespan="off", ws="none")
        worker = uvicorn.Server(config)
        thread = threading.Thread(target=worker.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not worker.started:
                time.sleep(0.005)
            yield server
        finally:
            worker.force_exit = worker.should_exit = True
            thread.join()


def around(sampler: Sampler) -> Answer:
    """Answers of a Sampler, one at a time: models in one process share their modes."""
    lock = threading.Lock()

    def answer(messages: Sequence[Message], body: Body) -> Completion:
        with lock:
            prompt = Prompt("served", tuple(messages))
            return sampler.sample([prompt], seed=body.get("seed", 0))[0]

    return answer


def _app(server: Server, answer: Answer, faults: Iterator[Fault], models: Sequence[str]) -> FastAPI:
    app = FastAPI()
    under_way = 0

    @app.get("/v1/models")
    async def list_models() -> Any:
        return {"object": "list", "data": [{"id": name, "object": "model"} for name in models]}

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> Response:
        nonlocal under_way
        body = await request.json()
        server.bodies.append(body)
        server.headers.append(dict(request.headers))
        server.times.append(time.monotonic())
        under_way += 1
        server.most_at_once = max(server.most_at_once, under_way)
        try:
            if body["model"] not in models:
                return error(404, f"the model {body['model']} does not exist")
            fault = next(faults, None)
            messages = [Message(each["role"], each["content"]) for each in body["messages"]]
            response = await run_in_threadpool(_reply, answer, messages, body)
            return await run_in_threadpool(fault, response) if fault else response
        finally:
            under_way -= 1

    return app


def _reply(answer: Answer, messages: Sequence[Message], body: Body) -> Response:
    said = answer(messages, body)
    text, finish = (said.text, said.finish) if isinstance(said, Completion) else (said, "stop")
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": finish,
    }
    reply = {"id": "chatcmpl-1", "object": "chat.completion", "model": body["model"]}
    return JSONResponse({**reply, "choices": [choice]})


def error(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error as OpenAI words it."""
    return JSONResponse({"error": {"message": message, "type": "error"}}, status, headers)


# Faults


def fine(response: Response) -> Response:
    """No fault: the request in between goes well."""
    return response


def failing(status: int = 500, message: str = "the engine stumbled") -> Fault:
    return lambda response: error(status, message)


def too_many(retry_after: str = "") -> Fault:
    headers = {"Retry-After": retry_after} if retry_after else {}
    return lambda response: error(429, "slow down", headers)


def slow(seconds: float) -> Fault:
    def fault(response: Response) -> Response:
        time.sleep(seconds)
        return response

    return fault


def dropped(response: Response) -> Response:
    """Fewer bytes than promised, then the connection closes."""
    return StreamingResponse(iter([b"{"]), headers={"Content-Length": "1000"})


def malformed(response: Response) -> Response:
    """A reply that is cut in the middle of its JSON."""
    return PlainTextResponse(bytes(response.body)[:20], media_type="application/json")


def empty(response: Response) -> Response:
    """JSON without an answer in it."""
    return PlainTextResponse(json.dumps({"choices": []}), media_type="application/json")


def saying(content: str) -> Fault:
    """Another body than the right one."""
    return lambda response: PlainTextResponse(content, media_type="application/json")


def dripping(pieces: int, seconds: float) -> Fault:
    """The right reply after blanks that keep the line open, one every so many seconds."""

    def fault(response: Response) -> Response:
        def drops() -> Iterator[bytes]:
            for _ in range(pieces):
                yield b" "
                time.sleep(seconds)
            yield bytes(response.body)

        return StreamingResponse(drops(), media_type="application/json")

    return fault
