"""POST /admin/reload: weights are taken anew, and no request is dropped."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict

from heed.serving.asking import read
from heed.serving.callers import check_admin
from heed.serving.errors import Refused
from heed.serving.site import Site, site_of

router = APIRouter()


class ReloadBody(BaseModel):
    """Which models, each with what it means from now on; all, as they are, where none is named."""

    model_config = ConfigDict(extra="forbid", strict=True)
    models: dict[str, str] = {}


@router.post("/admin/reload")
async def reload(request: Request) -> dict[str, Any]:
    """Says which weights answer from now on."""
    check_admin(request)
    body = await read(request, ReloadBody)
    return {"models": await reloaded(site_of(request), body.models)}


async def reloaded(site: Site, wanted: dict[str, str]) -> dict[str, int]:
    """Load what is wanted (all where nothing is), in a thread; versions by name.

    Raises Refused for a name that is none, UserError for a model that is none.
    """
    words = site.roster.words
    unknown = [name for name in wanted if name not in words]
    if unknown:
        raise Refused(404, "model_not_found", f"There is no model {unknown[0][:200]!r} here.")
    chosen = {name: wanted.get(name) or words[name] for name in wanted or words}
    policies = await asyncio.to_thread(site.roster.reload, chosen)
    site.counts.add("heed_reloads_total")
    return {policy.name: policy.version for policy in policies}
