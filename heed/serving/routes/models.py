"""GET /v1/models: the policies by name, and the ways in which each is offered."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from heed.serving.site import Site, site_of

router = APIRouter()


@router.get("/v1/models")
async def models(request: Request) -> dict[str, Any]:
    """All of them."""
    site = site_of(request)
    return {"object": "list", "data": [_model(site, name) for name in site.models]}


@router.get("/v1/models/{model}")
async def model(request: Request, model: str) -> dict[str, Any]:
    """One of them."""
    site = site_of(request)
    return _model(site, site.chosen(model).model)


def _model(site: Site, name: str) -> dict[str, Any]:
    policy = site.chosen(name).policy
    return {
        "id": name, "object": "model", "created": policy.since, "owned_by": "heed",
        "weights": policy.version, "from": policy.told, "context": policy.engine.context,
    }  # fmt: skip
