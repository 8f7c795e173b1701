"""Whether the server is up; for whoever watches it."""

from __future__ import annotations

from fastapi import APIRouter

from heed.web.access import ByAnyone

router = APIRouter()


@router.get("/health")
def health(visit: ByAnyone) -> dict[str, str | bool]:
    """That the server answers and reaches its store, and which project it serves: `uid` is another
    one's where a project of the same name is in another store. `accounts`: it lets people in by
    invitation alone.
    """
    with visit.read() as (_, project):
        return {
            "status": "ok",
            "project": project.name,
            "uid": project.uid,
            "accounts": visit.site.accounts,
        }
