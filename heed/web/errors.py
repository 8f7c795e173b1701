"""Refusals: what a request that cannot be served is told, as JSON or as a page.

Every refusal is {"error": a word for programs, "message": a sentence for people}. Nothing of the
request is echoed, and no traceback leaves the server.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from heed.feedback.queue import LeaseLost, NotYours
from heed.web.pages import error_page

log = logging.getLogger("heed.web")
Handler = Callable[[Request, Exception], Response]
Refusing = Callable[[Request, int, str, str, dict[str, str] | None], Response]
"""What makes a refusal of a status, a word, a sentence and headers: `refusal`, or one like it."""
WORDS = {
    400: ("bad_request", "The request cannot be read."),
    404: ("not_found", "There is nothing at this address."),
    405: ("wrong_method", "This address does not take this kind of request."),
    413: ("too_large", "This is more text than one request may carry."),
}


class Refused(Exception):  # noqa: N818 - an answer, no defect
    """A request that is answered with an error of its own making."""

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status, self.error, self.message = status, error, message


def refusal(
    request: Request, status: int, error: str, message: str, headers: dict[str, str] | None = None
) -> Response:
    """A refusal in the form that whoever asks can read."""
    wants_page = "text/html" in request.headers.get("accept", "")
    if wants_page and not request.url.path.startswith("/api/"):
        return error_page(request, status, HTTPStatus(status).phrase, message, headers)
    return JSONResponse({"error": error, "message": message}, status, headers)


def answer_errors(app: FastAPI) -> None:
    """Let the app answer refusals, invalid requests and unknown addresses."""
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return refusal(request, error.status, error.error, error.message)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    # Only names of fields that we know: keys of a hostile body are its own words.
    where = ".".join(str(part) for part in first["loc"] if first["type"] != "extra_forbidden")
    return refusal(request, 422, "invalid", f"{where or 'body'}: {first['msg']}"[:500])


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    word, message = WORDS.get(
        error.status_code, ("refused", HTTPStatus(error.status_code).phrase + ".")
    )
    headers = dict(error.headers) if error.headers else None
    return refusal(request, error.status_code, word, message, headers)


def _told(status: int, word: str, message: str = "") -> Handler:
    """A handler that says this, or else the exception's own message."""

    def handle(request: Request, error: Exception) -> Response:
        return refusal(request, status, word, message or str(error))

    return handle


def _busy(request: Request, error: Exception) -> Response:
    """The database is busy, or away. Trying again is right: an answer that was saved, and whose
    reply was lost, is known by its key.
    """
    cause = getattr(error, "orig", None) or error
    log.warning("the store failed: %s", type(cause).__name__)
    message = "The store did not answer in time. Try again; nothing is saved twice."
    return refusal(request, 503, "store_busy", message, {"Retry-After": "2"})


HANDLERS: dict[type[Exception], Handler] = {
    Refused: _refused,
    RequestValidationError: _invalid,
    HTTPException: _http,
    LeaseLost: _told(409, "lease_lost"),
    # One answer for tasks of others and tasks that never were: neither is told apart.
    NotYours: _told(404, "not_yours", "This task is not yours to answer."),
    OperationalError: _busy,
    InterfaceError: _busy,
    PoolTimeout: _busy,
}
