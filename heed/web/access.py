"""Who may do what: sessions, roles, and the token against forged requests.

Every route takes one of the four visits below as a parameter (`visit: ByOwner`), and so declares
its role; an app with a route that does not is refused (`check_roles`). The visit is also how a
route reaches the store. On unsafe methods the dependency has checked the CSRF token (header
X-CSRF-Token or form field `csrf`) and that the request comes from our own pages.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from sqlalchemy.orm import Session

from heed.store import access, projects
from heed.store.database import Store
from heed.store.members import Member, Role
from heed.store.projects import Project
from heed.store.schema import random_id
from heed.types import Sampler
from heed.web.errors import Refused
from heed.web.limits import Limits

RANKS: dict[Role, int] = {"annotator": 0, "reviewer": 1, "owner": 2}
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
VISITOR_COOKIE = "heed_visitor"


@dataclass(frozen=True)
class Site:
    """What one app serves, and how.

    `local` is the member that every visitor is where there are no accounts; `secret` signs for
    them in place of a session.
    """

    store: Store
    project: str
    samplers: Mapping[str, Sampler]
    limits: Limits
    secure_cookies: bool
    local: Member | None
    secret: str

    @property
    def accounts(self) -> bool:
        return self.local is None

    @property
    def session_cookie(self) -> str:
        """The cookie's name; it knows the project, as cookies of all ports of a host are shared."""
        return f"heed_{self.uid}"

    @cached_property
    def uid(self) -> str:
        """The project's own random id: what a browser keeps for it is kept under this.

        Where the store has no such project, one that nothing else has.
        """
        with self.store.read() as session:
            project = projects.find(session, self.project)
        return project.uid if project else random_id()


@dataclass(frozen=True)
class Guest:
    """Someone who asks for a page that is for anyone; `member` is None before joining."""

    site: Site
    member: Member | None
    csrf: str

    @contextmanager
    def read(self) -> Iterator[tuple[Session, Project]]:
        """A transaction that only reads, and the project."""
        with self.site.store.read() as session:
            yield session, self._project(session)

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[tuple[Session, Project]]:
        """One short transaction, committed when the block ends, and the project.

        Say that something is saved after the block, never inside. What is not `durable` outlives
        the server, but perhaps not a power cut: enough for leases and drafts.
        """
        with self.site.store.write(durable=durable) as session:
            yield session, self._project(session)

    def _project(self, session: Session) -> Project:
        project = projects.find(session, self.site.project)
        if project is None:
            raise Refused(404, "no_project", "This project is no longer in the store.")
        return project


@dataclass(frozen=True)
class Visit(Guest):
    """Someone who is signed in, and whose role is enough for the route."""

    member: Member


def new_secret() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(32)


async def sent_token(request: Request) -> str:
    """The CSRF token that an unsafe request brings, from its header or its form."""
    if request.method in SAFE_METHODS:
        return ""
    header = request.headers.get("x-csrf-token")
    if header is not None:
        return header
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        field = (await request.form()).get("csrf")
        return field if isinstance(field, str) else ""
    return ""


class Require:
    """The dependency behind the visits; `role` None lets anyone in."""

    def __init__(self, role: Role | None) -> None:
        self.role = role

    def __call__(self, request: Request, sent: Annotated[str, Depends(sent_token)]) -> Guest:
        site: Site = request.app.state.site
        guest = _guest(site, request)
        check_origin(request)
        if self.role is not None:
            guest = self._member(guest)
        if request.method not in SAFE_METHODS and not _equal(sent, guest.csrf):
            raise Refused(
                403, "csrf", "This page is out of date. Reload it and try again; drafts are kept."
            )
        return guest

    def _member(self, guest: Guest) -> Visit:
        if guest.member is None:
            raise Refused(
                401, "not_signed_in", "Open the invitation link that you were sent to sign in."
            )
        if self.role is not None and RANKS[guest.member.role] < RANKS[self.role]:
            raise Refused(403, "forbidden", f"This is for the role {self.role} and above.")
        return Visit(guest.site, guest.member, guest.csrf)


ByAnyone = Annotated[Guest, Depends(Require(None))]
ByAnnotator = Annotated[Visit, Depends(Require("annotator"))]
ByReviewer = Annotated[Visit, Depends(Require("reviewer"))]
ByOwner = Annotated[Visit, Depends(Require("owner"))]


def _guest(site: Site, request: Request) -> Guest:
    if site.local is not None:
        return Guest(site, replace(site.local, role="owner"), site.secret)
    token = request.cookies.get(site.session_cookie, "")
    if token:
        with site.store.read() as session:
            login = access.member_of(session, token)
        if login is not None:
            return Guest(site, login.member, login.csrf)
    # Before there is a session, a cookie that only our own pages can repeat stands in for it.
    return Guest(site, None, request.cookies.get(VISITOR_COOKIE) or new_secret())


def check_origin(request: Request) -> None:
    """Refuse what another site's page sends: unsafe methods, and the JSON routes.

    Browsers say so in Sec-Fetch-Site, or, over plain http from elsewhere, in Origin alone. Forms of
    our own pages then send "Origin: null", because their referrer policy is no-referrer; the CSRF
    token covers those.
    """
    if request.method in SAFE_METHODS and not request.url.path.startswith("/api/"):
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin", "null")
    if site is not None:
        foreign = site not in {"same-origin", "none"}
    else:
        host = request.headers.get("host", "").lower()
        foreign = origin != "null" and origin.lower() not in {f"http://{host}", f"https://{host}"}
    if foreign:
        raise Refused(403, "origin", "This request comes from another site's page.")


def check_roles(routes: Iterable[Any]) -> None:
    """Raise TypeError, naming the route, unless every one of them declares its role."""
    for route in routes:
        role_of(route)


def role_of(route: Any) -> Role | None:
    """The role that a route declares, None where it is for anyone.

    Raises TypeError for a route that declares none.
    """
    if isinstance(route, APIRoute):
        for dependency in route.dependant.dependencies:
            if isinstance(dependency.call, Require):
                return dependency.call.role
    raise TypeError(
        f"The route {getattr(route, 'path', route)} does not say who may use it: give it a "
        f"parameter `visit` of a kind in heed.web.access."
    )


def _equal(sent: str, wanted: str) -> bool:
    return bool(wanted) and hmac.compare_digest(sent.encode(errors="replace"), wanted.encode())
