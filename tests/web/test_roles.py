"""Every route x every role, from the app's own list of routes; CSRF on every unsafe one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, product
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.routing import Mount
from visitors import FREE, PROJECT, client_of, new_session, some_items, visitor_of

from heed.store import access, items, projects
from heed.store.database import Store
from heed.web.access import RANKS, SAFE_METHODS, ByOwner, Site, check_roles, role_of
from heed.web.app import ROUTERS, create_app

ENDPOINTS = [
    (method, route.path, role_of(route))
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in sorted(route.methods or ())
]
UNSAFE = [endpoint for endpoint in ENDPOINTS if endpoint[0] not in SAFE_METHODS]
VISITORS = ("anonymous", "annotator", "reviewer", "owner", "other store", "expired", "forged",
            "logged out")  # fmt: skip
FRESH = count()


def walk(routes: Iterable[Any]) -> Iterator[Any]:
    """Routes, also of included routers (which some versions of FastAPI keep as they are)."""
    for route in routes:
        included = getattr(route, "original_router", None)
        yield from walk(included.routes) if included is not None else [route]


def filled(path: str) -> str:
    """The path of a route with something in place of its parameters."""
    return re.sub(r"\{[^}]+\}", "1", path.replace("{token}", "no-such-invitation-token"))


@pytest.fixture(scope="module")
def shared_app(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    path = tmp_path_factory.mktemp("roles") / "feedback.db"
    path.write_bytes(empty_store.read_bytes())
    store = Store.open(path)
    with store.write() as session:
        items.add(session, projects.create(session, PROJECT).id, some_items())
    yield create_app(store, PROJECT, accounts=True, limits=FREE)
    store.close()


@pytest.fixture
def come(shared_app: FastAPI, new_store: Any) -> Callable[[str], TestClient]:
    """A fresh client of one of `VISITORS`."""
    store: Store = shared_app.state.site.store

    def make(who: str) -> TestClient:
        name = f"{who} {next(FRESH)}"
        if who == "anonymous":
            return visitor_of(shared_app, None, name)
        if who in RANKS:
            return visitor_of(shared_app, who, name)
        if who == "other store":
            return client_of(shared_app, new_session(new_store(), "owner", name))
        if who == "forged":
            return client_of(shared_app, new_session(store, "owner", name)[:-1] + "?")
        token = new_session(store, "owner", name)
        client = client_of(shared_app, token)
        with store.write() as session:
            login = access.member_of(session, token)
            assert login is not None
            access.log_out(session, token)
            if who == "expired":
                long_ago = datetime.now(UTC) - timedelta(days=60)
                token = access.log_in(session, login.member.id, now=long_ago)
        client = client_of(shared_app, token)
        client.headers["X-CSRF-Token"] = login.csrf
        return client

    return make


def test_every_route_is_in_the_table(shared_app: FastAPI) -> None:
    found = list(walk(shared_app.routes))
    assert [route.path for route in found if isinstance(route, Mount)] == ["/static"]
    paths = {route.path for route in found if isinstance(route, APIRoute)}
    assert paths == {path for _, path, _ in ENDPOINTS}
    assert all(isinstance(route, APIRoute | Mount) for route in found)
    assert {role for _, _, role in ENDPOINTS} == {None, "annotator", "reviewer", "owner"}
    for_anyone = {path for _, path, role in ENDPOINTS if role is None}
    assert for_anyone == {"/", "/health", "/join/{token}", "/goodbye"}


def test_a_route_must_say_who_may_use_it() -> None:
    router = APIRouter()

    @router.get("/open")
    def said(visit: ByOwner) -> str:
        return visit.member.name

    check_roles(router.routes)

    @router.get("/forgotten")
    def forgotten() -> str:
        return "to everybody"

    with pytest.raises(TypeError, match="/forgotten does not say who may use it"):
        check_roles(router.routes)
    router.routes[:] = [Mount("/anything", FastAPI())]
    with pytest.raises(TypeError, match="/anything does not say"):
        check_roles(router.routes)


@pytest.mark.parametrize(
    ("endpoint", "who"),
    list(product(ENDPOINTS, VISITORS)),
    ids=lambda value: value if isinstance(value, str) else f"{value[0]} {value[1]}",
)
def test_every_route_and_role(
    endpoint: tuple[str, str, str | None], who: str, come: Callable[[str], TestClient]
) -> None:
    method, path, role = endpoint
    client = come(who)
    answer = client.request(method, filled(path), json=None if method == "GET" else {})
    assert answer.status_code < 500
    refused = answer.status_code in {401, 403}
    if role is None:
        # Signed-out visitors have the visitor's cookie alone, and only the first brings one.
        assert not refused or (answer.json()["error"] == "csrf" and method == "POST")
    elif who in RANKS:
        assert refused == (RANKS[who] < RANKS[role])  # type: ignore[index]
        if refused:
            assert answer.json()["error"] == "forbidden"
    else:
        assert answer.status_code == 401
        assert answer.json()["error"] == "not_signed_in"
        assert set(answer.json()) == {"error", "message"}


@pytest.mark.parametrize("endpoint", UNSAFE, ids=lambda value: f"{value[0]} {value[1]}")
def test_unsafe_requests_need_the_token_of_the_session(
    endpoint: tuple[str, str, str | None], come: Callable[[str], TestClient]
) -> None:
    method, path, _ = endpoint
    client, other = come("owner"), come("owner")
    site: Site = other.app.state.site  # type: ignore[attr-defined]
    right = client.headers.pop("X-CSRF-Token")
    session = client.cookies[site.session_cookie]
    wrong = ["", right[:-1], right.upper() + "x", other.headers["X-CSRF-Token"], session, "\u00e9"]
    for token in [None, *wrong]:
        headers = [] if token is None else [(b"X-CSRF-Token", token.encode())]
        answer = client.request(method, filled(path), json={}, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (403, "csrf")
    for sent in (
        {"data": {"csrf": "wrong"}}, {"json": {"csrf": right}}, {"data": {"CSRF": right}},
        {"params": {"csrf": right}}, {"files": {"csrf": ("csrf", right.encode())}},
    ):  # fmt: skip
        answer = client.request(method, filled(path), **sent)
        assert answer.json()["error"] == "csrf"
    in_form = client.request(method, filled(path), data={"csrf": right})
    assert in_form.status_code < 500
    assert in_form.status_code in {303, 200} or in_form.json()["error"] != "csrf"


FOREIGN: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "nonsense"},
    {"Origin": "http://evil.example"},
    {"Origin": "http://testserver.evil.example"},
    {"Origin": "http://testserver:8000"},
    {"Origin": "nonsense"},
]


@pytest.mark.parametrize("endpoint", UNSAFE, ids=lambda value: f"{value[0]} {value[1]}")
def test_other_sites_pages_cannot_use_a_session(
    endpoint: tuple[str, str, str | None], come: Callable[[str], TestClient]
) -> None:
    method, path, _ = endpoint
    client = come("owner")
    for headers in FOREIGN:
        answer = client.request(method, filled(path), json={}, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (403, "origin"), headers


def test_our_own_pages_can(come: Callable[[str], TestClient]) -> None:
    client = come("annotator")
    for headers in (
        {},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://testserver"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
        {"Origin": "null"},
        {"Origin": "http://TestServer"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://name-at-the-proxy.example"},
    ):
        assert client.post("/api/undo", headers=headers).status_code == 200
    # Following a link from elsewhere is fine; another site's script asking for JSON is not.
    assert client.get("/label", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200
    assert client.get("/api/next", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
