"""Refusals in OpenAI's shape: {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from heed.errors import UserError
from heed.sampling.asked import Busy, Closed

log = logging.getLogger("heed.serving")

TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
"""Kinds of error by status; other refusals are invalid requests, failures are server errors."""
LONGEST_WAIT = 60


class Refused(Exception):  # noqa: N818 - an answer, no defect
    """A request that is answered with an error: `code` for programs, `param` what was wrong."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.param = status, code, message, param
        self.headers = dict(headers or {})


def too_many(code: str, message: str, seconds: float) -> Refused:
    """A 429 that says when to come again."""
    wait = str(min(LONGEST_WAIT, max(1, math.ceil(seconds))))
    return Refused(429, code, message, headers={"Retry-After": wait})


def error_body(status: int, code: str, message: str, param: str | None = None) -> dict[str, Any]:
    """What a client gets to read."""
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def refusal(
    _: Request, status: int, error: str, message: str, headers: dict[str, str] | None = None
) -> Response:
    """As `heed.web.errors.refusal`, for the middleware that both sites share."""
    return JSONResponse(error_body(status, error, message), status, headers)


def answered(error: Refused) -> Response:
    """The response that a refusal is."""
    body = error_body(error.status, error.code, error.message, error.param)
    return JSONResponse(body, error.status, error.headers or None)


def understood(error: Exception) -> Refused:
    """What went wrong, as a refusal; what nobody foresaw is raised again."""
    for kind, told in TOLD.items():
        if isinstance(error, kind):
            return told(error)
    raise error


def answer_errors(app: FastAPI) -> None:
    """Let the app answer refusals, and addresses that are none."""
    for kind in TOLD:
        app.add_exception_handler(kind, _answer)


def _answer(request: Request, error: Exception) -> Response:
    refused = understood(error)
    count_refusal(request, refused)
    return answered(refused)


def count_refusal(request: Request, refused: Refused) -> None:
    """Count a refusal by its word."""
    request.app.state.site.counts.add("heed_refusals_total", code=refused.code)


def _as_it_is(error: Exception) -> Refused:
    assert isinstance(error, Refused)
    return error


def _busy(error: Exception) -> Refused:
    assert isinstance(error, Busy)
    return too_many("engine_overloaded", "All places are taken; try again later.", error.seconds)


def _closed(_: Exception) -> Refused:
    message = "The server is stopping and takes nothing new."
    return Refused(503, "stopping", message, headers={"Retry-After": "10"})


def _not_possible(error: Exception) -> Refused:
    return Refused(400, "invalid_request", str(error))


def _http(error: Exception) -> Refused:
    assert isinstance(error, HTTPException)
    return Refused(
        error.status_code, "not_found" if error.status_code == 404 else "refused",
        f"{HTTPStatus(error.status_code).phrase}: this address does not take such a request.",
        headers=dict(error.headers or {}),
    )  # fmt: skip


def _store_failed(error: Exception) -> Refused:
    log.warning("the store failed: %s", type(getattr(error, "orig", None) or error).__name__)
    message = "The store did not answer in time. Try again; nothing is saved twice."
    return Refused(503, "store_busy", message, headers={"Retry-After": "2"})


TOLD: dict[type[Exception], Callable[[Exception], Refused]] = {
    Refused: _as_it_is,
    Busy: _busy,
    Closed: _closed,
    UserError: _not_possible,
    HTTPException: _http,
    OperationalError: _store_failed,
    InterfaceError: _store_failed,
    PoolTimeout: _store_failed,
}
