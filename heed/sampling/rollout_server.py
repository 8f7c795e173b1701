"""A rollout server: vLLM's routes by which a trainer has answers drawn and sends its weights.

What a reply has beyond vLLM's: `weight_version`, of the weights that drew it.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from typing import Annotated, Any

from fastapi import Body, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from heed.sampling.rollout_engine import Alike, Ask, Busy, Drawn, Engine, Refused

LONGEST = 1 << 16
"""Tokens of an answer that may be asked for."""
MOST = 256
"""Answers to a prompt that may be asked for."""


class CompletionBody(BaseModel):
    """What /v1/completions is asked; keys that are not known are left alone, as vLLM does."""

    prompt: list[NonNegativeInt] = Field(min_length=1)
    model: str = ""
    n: PositiveInt = Field(1, le=MOST)
    max_tokens: PositiveInt = Field(16, le=LONGEST)
    temperature: NonNegativeFloat = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    stop: list[str] | str = []
    stop_token_ids: list[int] = []
    stream: bool = False

    def ask(self, stop_ids: frozenset[int]) -> Ask:
        """The same as the engine takes it.

        Raises Refused for what it does not do.
        """
        if self.stream:
            raise Refused("a rollout server does not stream")
        if self.top_p != 1.0 or self.top_k > 0:
            raise Refused("answers are drawn from the whole distribution: no top_p, no top_k")
        if not set(self.stop_token_ids) <= stop_ids:
            raise Refused(f"answers end at the tokens {sorted(stop_ids)} alone")
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)
        alike = Alike(self.n, self.max_tokens, self.temperature, stop)
        return Ask(tuple(self.prompt), self.seed, alike)


class UpdateInfo(BaseModel):
    """What the weights that come are."""

    names: list[str]
    dtype_names: list[str]
    shapes: list[list[NonNegativeInt]]


class InitInfo(BaseModel):
    """Where the group is."""

    master_address: str
    master_port: int = Field(ge=1, le=65535)
    rank_offset: PositiveInt
    world_size: int = Field(ge=2)


def rollout_app(engine: Engine, model: str, key: str = "") -> FastAPI:
    """The routes of an engine that serves `model` to whoever knows `key`, if there is one."""
    app = FastAPI(title="Heed rollouts", docs_url=None, redoc_url=None, openapi_url=None)
    _guard(app, key)
    _completions(app, engine, model)
    _weights(app, engine)

    @app.get("/health")
    def health() -> Response:
        return Response(status_code=200)

    @app.get("/v1/models")
    def models() -> Any:
        return {"object": "list", "data": [{"id": model, "object": "model"}]}

    return app


def _guard(app: FastAPI, key: str) -> None:
    """Refusals in OpenAI's words, and the key."""

    @app.exception_handler(Refused)
    def refused(_: Request, error: Refused) -> JSONResponse:
        return _error(400, str(error))

    @app.exception_handler(Busy)
    def busy(_: Request, error: Busy) -> JSONResponse:
        return _error(503, str(error), {"Retry-After": "1"})

    @app.middleware("http")
    async def known(request: Request, call_next: Any) -> Any:
        given = request.headers.get("authorization", "").encode()
        if key and not hmac.compare_digest(given, f"Bearer {key}".encode()):
            return _error(401, "no key, or a wrong one")
        return await call_next(request)


def _completions(app: FastAPI, engine: Engine, model: str) -> None:
    @app.post("/v1/completions")
    async def completions(body: CompletionBody) -> Any:
        if body.model not in ("", model):
            return _error(404, f"the model {body.model!r} is not served here, {model!r} is")
        found = await asyncio.wrap_future(engine.submit(body.ask(engine.lm.chat.stop_ids)))
        sampled = sum(len(each.ids) for each in found)
        return {
            "id": f"cmpl-{time.monotonic_ns()}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
            "choices": [_choice(at, each) for at, each in enumerate(found)],
            "usage": {
                "prompt_tokens": len(body.prompt),
                "completion_tokens": sampled,
                "total_tokens": len(body.prompt) + sampled,
            },
            "weight_version": found[0].version,
        }


def _choice(at: int, drawn: Drawn) -> dict[str, Any]:
    return {
        "index": at,
        "text": drawn.text,
        "logprobs": {
            "tokens": [f"token_id:{token}" for token in drawn.ids],
            "token_logprobs": drawn.logprobs,
        },
        "finish_reason": drawn.finish or "abort",
        "token_ids": drawn.ids,
    }


def _weights(app: FastAPI, engine: Engine) -> None:
    """The routes of new weights. They block, each in a thread of its own."""

    @app.post("/pause")
    def pause(mode: str = "abort") -> Any:
        engine.pause(mode)
        return {"status": "paused"}

    @app.post("/resume")
    def resume() -> Any:
        engine.resume()
        return {"status": "resumed"}

    @app.get("/is_paused")
    def is_paused() -> Any:
        return {"is_paused": engine.paused}

    @app.get("/get_world_size")
    def get_world_size() -> Any:
        return {"world_size": 1}

    @app.post("/init_weight_transfer_engine")
    def init_weight_transfer_engine(init_info: Annotated[InitInfo, Body(embed=True)]) -> Any:
        engine.meet(init_info.model_dump())
        return {"message": "Weight transfer initialized"}

    @app.post("/start_weight_update")
    def start_weight_update() -> Any:
        engine.begin()
        return {"message": "Weight update started"}

    @app.post("/update_weights")
    def update_weights(update_info: Annotated[UpdateInfo, Body(embed=True)]) -> Any:
        engine.receive(update_info.names, update_info.dtype_names, update_info.shapes)
        return {"message": "Weights updated"}

    @app.post("/finish_weight_update")
    def finish_weight_update(
        weight_version: Annotated[str | None, Body(embed=True)] = None,
    ) -> Any:
        engine.finish(weight_version)
        return {"message": "Weight update finished"}

    @app.get("/weight_info")
    def weight_info() -> Any:
        return {"weight_version": engine.version}

    @app.post("/reset_prefix_cache")
    def reset_prefix_cache() -> Any:
        return {"message": "There is none"}


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": {"message": message, "type": "error"}}, status, headers)
