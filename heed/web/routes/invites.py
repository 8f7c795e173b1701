"""Invitations: links that let one person in, once; and who is in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import RedirectResponse, Response

from heed.feedback.summary import PEOPLE
from heed.store import access, members
from heed.store.members import Role
from heed.web.access import ByOwner, Visit
from heed.web.aliases import reserved
from heed.web.errors import Refused
from heed.web.pages import render

router = APIRouter()
Id = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.get("/owner/invites")
def page(request: Request, visit: ByOwner) -> Response:
    """The form for a new link, and every link so far."""
    return _page(request, visit)


@router.post("/owner/invites")
def create(
    request: Request,
    visit: ByOwner,
    role: Annotated[Role, Form()],
    name: Annotated[str, Form(max_length=80)] = "",
    days: Annotated[int, Form(ge=1, le=365)] = 7,
) -> Response:
    """A new link. This answer is the only place that ever shows it."""
    if not visit.site.accounts:
        raise Refused(409, "no_accounts", "This server has no accounts to invite people to.")
    name = " ".join(name.split())
    if reserved(name):
        return _page(request, visit, problem="That name is kept for votes and rulings.")
    try:
        with visit.write() as (session, _):
            token = access.invite(session, role, name=name, days=days)
    except ValueError as error:
        return _page(request, visit, problem=str(error))
    return _page(request, visit, link=f"{request.base_url}join/{token}", role=role)


@router.post("/owner/invites/{id}/revoke")
def revoke(visit: ByOwner, id: Id) -> Response:
    """Withdraw a link that nobody has used."""
    with visit.write() as (session, _):
        if not access.revoke_invite(session, id):
            raise Refused(409, "spent", "This invitation was used or withdrawn already.")
    return RedirectResponse("/owner/invites", 303)


@router.post("/owner/members/{id}/logout")
def log_out(visit: ByOwner, id: Id) -> Response:
    """End all of a member's sessions; what they said stays."""
    with visit.write() as (session, _):
        access.log_out_member(session, id)
    return RedirectResponse("/owner/invites", 303)


def _page(
    request: Request, visit: Visit, *, link: str = "", role: str = "", problem: str = ""
) -> Response:
    with visit.read() as (session, _):
        invites = access.invites(session)
        people = [one for one in members.listing(session) if one.source == PEOPLE]
    return render(
        request, visit, "invites.html", status=422 if problem else 200, invites=invites,
        people=people, link=link, role=role, problem=problem, now=datetime.now(UTC),
    )  # fmt: skip
