"""The page of `heed watch --web`: one run as it goes, for whoever has the link.

An app of its own beside the labelling app: it knows no store and no members, only reads, and lets
in by the token of the link that the terminal showed, which a cookie then stands for.
"""

from __future__ import annotations

import hmac
import threading
import time
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from jinja2 import Template

from heed.errors import UserError
from heed.report.lines import lines
from heed.report.live import Watch
from heed.report.measures import duration, number
from heed.web.access import check_origin
from heed.web.errors import Refused, answer_errors, refusal
from heed.web.headers import LoopbackHost, Shield
from heed.web.pages import environment

PARTS = ("state", "gates", "stages", "curves", "drawn")
"""What the page renews, each a macro of `watch_parts.html`."""
REST = 0.5
"""Seconds for which a look is good enough for every visitor."""
Token = str
router = APIRouter()


@dataclass
class Sight:
    """What the app shows; all visitors share one look."""

    watch: Watch
    token: Token
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _looks: dict[str | None, tuple[float, dict[str, str]]] = field(default_factory=dict)
    """By the stage that is shown: when it was looked at, and what was seen."""

    @property
    def cookie(self) -> str:
        """The cookie's name; it knows the server, as cookies of all ports of a host are shared."""
        return f"heed_watch_{sha256(self.token.encode()).hexdigest()[:12]}"

    def parts(self, stage: str | None) -> dict[str, str]:
        """The page's parts as HTML, every text of the run escaped.

        Raises UserError where the directory was written by no run, or has no such stage.
        """
        with self._lock:
            at, parts = self._looks.get(stage, (0.0, {}))
            if not parts or time.monotonic() - at >= REST:
                frame = self.watch.look(stage)
                macros = _template("watch_parts.html").make_module(
                    {"lines": lines, "duration": duration, "number": number}
                )
                parts = {name: str(getattr(macros, name)(frame)) for name in PARTS}
                parts["title"] = frame.name or frame.directory.name
                self._looks[stage] = (time.monotonic(), parts)
            return parts

    def knows(self, token: str) -> bool:
        """Whether this is the token of the link."""
        return hmac.compare_digest(token.encode(errors="replace"), self.token.encode())


def create_watch_app(directory: Path, token: Token, *, loopback: bool) -> FastAPI:
    """The app that shows the run in a directory to whoever has the token.

    `loopback`: only this machine can reach it, so that other names for it are refused.
    """
    app = FastAPI(title="Heed", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.sight = Sight(Watch(directory), token)
    app.include_router(router)
    app.mount("/static", StaticFiles(directory=str(files("heed.web") / "static")), name="static")
    answer_errors(app)
    app.add_exception_handler(UserError, _no_run)
    # The last one added is the outermost.
    if loopback:
        app.add_middleware(LoopbackHost)
    app.add_middleware(Shield)
    return app


def admitted(request: Request) -> Sight:
    """What the app shows, to who came by the link.

    Raises Refused for anyone else.
    """
    sight: Sight = request.app.state.sight
    check_origin(request)
    if not sight.knows(request.cookies.get(sight.cookie, "")):
        raise Refused(401, "no_link", "Open the link that heed watch printed in its terminal.")
    return sight


Admitted = Annotated[Sight, Depends(admitted)]


@router.get("/enter/{token}")
def enter(request: Request, token: str) -> Response:
    """The link: a cookie for the token, and on to the page, whose address holds no secret."""
    sight: Sight = request.app.state.sight
    if not sight.knows(token):
        raise Refused(
            401, "no_link", "This link is of another heed watch. Open the one it printed."
        )
    answer = RedirectResponse("/", 303)
    answer.set_cookie(sight.cookie, sight.token, httponly=True, samesite="lax")
    return answer


@router.get("/")
def page(request: Request, sight: Admitted, stage: str | None = None) -> Response:
    """The run as it stands; a script of the page then asks for what is new."""
    parts = sight.parts(stage)
    return HTMLResponse(
        _template("watch.html").render(
            project=parts["title"], uid="", member=None, csrf="", accounts=False, arena=False,
            here=request.url.path, parts={name: parts[name] for name in PARTS},
        )
    )  # fmt: skip


@router.get("/api/frame")
def frame(sight: Admitted, stage: str | None = None) -> dict[str, Any]:
    """The page's parts anew."""
    parts = sight.parts(stage)
    return {name: parts[name] for name in PARTS}


def _template(name: str) -> Template:
    return environment().get_template(name)


def _no_run(request: Request, error: Exception) -> Response:
    return refusal(request, 409, "no_run", str(error))
