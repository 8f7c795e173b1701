"""Coming and going: an invitation's link, the name one gives, signing out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.exc import IntegrityError

from heed.store import access
from heed.store.access import SESSION_DAYS, InviteRefused
from heed.store.limits import NAME
from heed.web.access import VISITOR_COOKIE, ByAnnotator, ByAnyone, Guest
from heed.web.aliases import reserved
from heed.web.errors import Refused
from heed.web.pages import render

router = APIRouter()
HOUR = 3600
DAY = 24 * HOUR
Token = Annotated[str, Path(min_length=8, max_length=200, pattern=r"^[A-Za-z0-9_-]+$")]


@router.get("/join/{token}")
def ask_name(request: Request, visit: ByAnyone, token: Token) -> Response:
    """The form that asks a newcomer's name.

    The link is not used up by looking at it: programs that preview links do that too.
    """
    return _form(request, visit, token)


@router.post("/join/{token}")
def join(
    request: Request,
    visit: ByAnyone,
    token: Token,
    name: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """Turn an invitation and a name into a session."""
    name = " ".join(name.split())
    problem = _problem(name)
    try:
        with visit.write() as (session, _):
            if problem and not access.pending(session, token).name:
                raise ValueError(problem)
            _, session_token = access.redeem(session, token, name)
    except InviteRefused as error:
        raise _no_invite(error) from error
    except (ValueError, IntegrityError):
        return _form(request, visit, token, name, problem or "That name is taken; choose another.")
    answer = RedirectResponse("/guidelines?first=1", 303)
    _set_cookie(answer, visit, visit.site.session_cookie, session_token, SESSION_DAYS * DAY)
    answer.delete_cookie(VISITOR_COOKIE)
    return answer


@router.post("/logout")
def log_out(request: Request, visit: ByAnnotator) -> Response:
    """End this session."""
    token = request.cookies.get(visit.site.session_cookie)
    if token is not None and visit.site.accounts:
        with visit.write() as (session, _):
            access.log_out(session, token)
    answer = RedirectResponse("/goodbye", 303)
    answer.delete_cookie(visit.site.session_cookie)
    return answer


@router.get("/goodbye")
def goodbye(request: Request, visit: ByAnyone) -> Response:
    """What is shown after signing out."""
    return render(request, visit, "goodbye.html")


def _problem(name: str) -> str:
    """What is wrong with a name that somebody chose, or nothing."""
    if not name:
        return "Please give a name."
    if len(name) > NAME:
        return f"A name has at most {NAME} characters."
    if reserved(name):
        return "That name is kept for votes and rulings."
    return "" if name.isprintable() else "A name has no characters that cannot be seen."


def _form(
    request: Request, visit: Guest, token: str, name: str = "", problem: str = ""
) -> Response:
    try:
        with visit.read() as (session, _):
            invited = access.pending(session, token)
    except InviteRefused as error:
        raise _no_invite(error) from error
    page = render(
        request, visit, "join.html", status=422 if problem else 200, token=token,
        invited=invited, name=name, problem=problem, longest=NAME,
    )  # fmt: skip
    if visit.member is None:
        _set_cookie(page, visit, VISITOR_COOKIE, visit.csrf, HOUR)
    return page


def _no_invite(error: InviteRefused) -> Refused:
    return Refused(410, "no_invitation", str(error))


def _set_cookie(answer: Response, visit: Guest, name: str, value: str, seconds: int) -> None:
    answer.set_cookie(
        name, value, max_age=seconds, httponly=True, samesite="lax",
        secure=visit.site.secure_cookies,
    )  # fmt: skip
