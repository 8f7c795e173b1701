"""The app, put together here and nowhere else."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI

from heed.errors import UserError
from heed.serving.callers import Door, Key, Places, Room
from heed.serving.errors import answer_errors, refusal
from heed.serving.remembering import Memory
from heed.serving.roster import Roster
from heed.serving.routes import admin, completions, feedback, health, models
from heed.serving.site import Site, Terms
from heed.serving.ways import Offer
from heed.web.headers import LoopbackHost, Shield
from heed.web.limits import BodyLimit, Limits

log = logging.getLogger("heed.serving")
ROUTERS: tuple[APIRouter, ...] = tuple(
    routes.router for routes in (health, models, completions, feedback, admin)
)


def create_app(
    roster: Roster,
    *,
    offer: Offer | None = None,
    terms: Terms | None = None,
    keys: Sequence[Key] = (),
    memory: Memory | None = None,
) -> FastAPI:
    """The app that serves these policies, and keeps feedback where there is a `memory`.

    Without `keys` anybody may ask, and reload: bind it to loopback.
    """
    terms = terms or Terms()
    site = Site(roster, offer or Offer(), terms, Places(terms.allowance), memory)
    app = FastAPI(title="Heed", docs_url=None, redoc_url=None, openapi_url=None, lifespan=_life)
    app.state.site = site
    for router in ROUTERS:
        app.include_router(router)
    answer_errors(app)
    limits = Limits(body_bytes=terms.body_bytes)
    # The last one added is the outermost.
    app.add_middleware(BodyLimit, limits=limits, refuse=refusal)
    app.add_middleware(Room, most=terms.requests)
    app.add_middleware(Door, keys=keys, allowance=terms.allowance)
    if not keys:
        app.add_middleware(LoopbackHost, refuse=refusal)
    app.add_middleware(Shield, refuse=refusal)
    return app


@asynccontextmanager
async def _life(app: FastAPI) -> AsyncIterator[None]:
    """Between the first request and the last: engines ring in this loop, SIGHUP reloads."""
    site: Site = app.state.site
    loop = asyncio.get_running_loop()
    site.bell.hang(loop)
    tasks: set[asyncio.Task[None]] = set()

    def again() -> None:
        task = loop.create_task(_reload(site))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    in_main = threading.current_thread() is threading.main_thread()
    if in_main and hasattr(signal, "SIGHUP"):
        loop.add_signal_handler(signal.SIGHUP, again)
    try:
        yield
    finally:
        if in_main and hasattr(signal, "SIGHUP"):
            loop.remove_signal_handler(signal.SIGHUP)
        if site.memory is not None:
            await site.memory.flush()
        await asyncio.to_thread(site.roster.close)


async def _reload(site: Site) -> None:
    try:
        versions = await admin.reloaded(site, {})
    except UserError as error:
        log.error("The weights stay as they were: %s", error)
    except Exception as error:  # nobody waits for the signal's outcome: it is told here or nowhere
        log.error("The weights stay as they were: loading failed (%s)", type(error).__name__)
    else:
        log.warning("Weights taken anew: %s", versions)
