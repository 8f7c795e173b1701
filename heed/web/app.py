"""The labelling app, put together here and nowhere else."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from importlib.resources import files
from itertools import chain, count

from fastapi import APIRouter, FastAPI
from fastapi.staticfiles import StaticFiles

from heed.feedback.summary import PEOPLE
from heed.store import members
from heed.store.database import Store
from heed.store.members import Member
from heed.types import Sampler
from heed.web.access import Site, check_roles, new_secret
from heed.web.arena import check_project
from heed.web.errors import answer_errors
from heed.web.headers import LoopbackHost, Shield
from heed.web.limits import BodyLimit, Limits, RateLimit
from heed.web.routes import arena, disputed, health, invites, join, label, owner

ROUTERS: tuple[APIRouter, ...] = tuple(
    routes.router for routes in (health, join, label, owner, disputed, invites, arena)
)


def create_app(
    store: Store,
    project: str,
    *,
    accounts: bool,
    samplers: Mapping[str, Sampler] | None = None,
    secure_cookies: bool = False,
    limits: Limits | None = None,
) -> FastAPI:
    """The app that serves one project of a store.

    Without `accounts` every visitor is the local owner: bind it to loopback only. `samplers` are
    the arena's models by name. `secure_cookies` sends cookies over https alone.

    Raises UserError for the project that holds the arena's votes, which is not labelled.
    """
    check_project(project)
    limits = limits or Limits()
    site = Site(
        store,
        project,
        samplers=dict(samplers or {}),
        limits=limits,
        secure_cookies=secure_cookies,
        local=None if accounts else _local_member(store),
        secret=new_secret(),
    )
    app = FastAPI(title="Heed", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.site = site
    for router in ROUTERS:
        check_roles(router.routes)
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=str(files("heed.web") / "static")), name="static")
    answer_errors(app)
    # The last one added is the outermost.
    app.add_middleware(BodyLimit, limits=limits)
    app.add_middleware(RateLimit, limits=limits, session_cookie=site.session_cookie)
    if not accounts:
        app.add_middleware(LoopbackHost)
    app.add_middleware(Shield)
    return app


def machine_user() -> str:
    """Who sits at this machine, by the name that the machine knows them by."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "you"


def _local_member(store: Store) -> Member:
    """The person at this machine.

    The machine's name for them may belong to a source of labels that is no person (an import under
    the same name); the person is then the next name that does not.
    """
    user = machine_user()
    with store.write() as session:
        for name in chain([user], (f"{user} {number}" for number in count(2))):
            found = members.find(session, name) or members.enrol(session, name, "owner")
            if found.source == PEOPLE:
                return found
    raise AssertionError("there is always another number")
