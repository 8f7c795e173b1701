"""For whoever watches the server: /health and /metrics."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from heed.serving.counting import MEDIA
from heed.serving.site import site_of

router = APIRouter()


@router.get("/health")
async def health(request: Request) -> dict[str, Any]:
    """That the server answers, and which weights each model has."""
    roster = site_of(request).roster
    policies = [policy for name in roster.names if (policy := roster.find(name)) is not None]
    return {"status": "ok", "models": {policy.name: policy.version for policy in policies}}


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """What was counted, for Prometheus."""
    site = site_of(request)
    return Response(site.counts.text(site.gauges()), media_type=MEDIA)
