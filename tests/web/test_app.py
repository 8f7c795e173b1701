"""What stands around every answer: headers, hosts, refusals, and what the log is told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError
from visitors import FREE, PROJECT, right_answer

from heed.store import annotations as labels
from heed.store import members, projects
from heed.store.database import Store
from heed.types import Annotation
from heed.web.app import create_app, machine_user
from heed.web.limits import Limits

SECRET = "hunter2-is-in-this-message"
Visitor = Callable[..., TestClient]


def local(app: FastAPI, host: str = "127.0.0.1:8000") -> TestClient:
    return TestClient(app, base_url=f"http://{host}", follow_redirects=False)


@pytest.fixture
def broken_app(app: FastAPI) -> FastAPI:
    """The app with routes that fail in every way."""

    def defect() -> None:
        raise ZeroDivisionError(SECRET)

    def busy() -> None:
        raise OperationalError(SECRET, {"token": SECRET}, Exception("database is locked"))

    for path, fails in (("/api/defect", defect), ("/defect", defect), ("/api/busy", busy)):
        app.add_api_route(path, fails)
    return app


def test_every_answer_has_the_headers(broken_app: FastAPI, visitor: Visitor) -> None:
    client = visitor("annotator")
    big = client.post("/api/answers", content=b"x" * 300_000)
    answers = {200: client.get("/label"), 303: client.get("/"), 404: client.get("/nothing"),
               405: client.put("/label"), 422: client.post("/api/answers", json={}), 413: big,
               403: client.get("/owner"), 500: client.get("/defect"),
               503: client.get("/api/busy")}  # fmt: skip
    for status, answer in answers.items():
        assert answer.status_code == status
        policy = dict(part.split(" ", 1) for part in
                      answer.headers["Content-Security-Policy"].split("; "))  # fmt: skip
        assert policy["default-src"] == policy["script-src"] == policy["style-src"] == "'self'"
        assert policy["img-src"] == "'self' data:"
        assert policy["form-action"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == policy["object-src"] == "'none'"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
    static = client.get("/static/base.css")
    assert static.headers["Cache-Control"] == "no-cache"
    assert static.headers["Content-Security-Policy"]


def test_refusals_are_json_or_a_page(visitor: Visitor) -> None:
    client = visitor(None)
    as_page = {"Accept": "text/html,application/xhtml+xml"}
    for path, status, word in (("/label", 401, "not_signed_in"), ("/nothing", 404, "not_found")):
        answer = client.get(path)
        assert answer.status_code == status
        assert set(answer.json()) == {"error", "message"}
        assert answer.json()["error"] == word
        page = client.get(path, headers=as_page)
        assert page.status_code == status
        assert page.headers["content-type"].startswith("text/html")
        assert f"Error {status}" in page.text
        assert answer.json()["message"] in page.text
    assert client.get("/api/next", headers=as_page).json()["error"] == "not_signed_in"
    for path in ("/docs", "/redoc", "/openapi.json", "/static/../app.py", "/static/%2e%2e/app.py",
                 "/static/", "/%00", "http://testserver//evil.example/"):  # fmt: skip
        assert client.get(path).status_code == 404


def test_a_defect_tells_neither_the_visitor_nor_the_log_what_was_said(
    broken_app: FastAPI, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    client = visitor("annotator")
    with caplog.at_level(logging.DEBUG):
        answers = [client.get("/api/defect", params={"q": SECRET}), client.get("/api/busy")]
        page = client.get("/defect", headers={"Accept": "text/html"})
    assert [answer.status_code for answer in [*answers, page]] == [500, 503, 500]
    assert answers[0].json()["error"] == "defect"
    assert answers[1].json()["error"] == "store_busy"
    assert answers[1].headers["Retry-After"]
    assert "Error 500" in page.text
    for answer in [*answers, page]:
        assert SECRET not in answer.text
        assert "Traceback" not in answer.text
    logged = [record.getMessage() for record in caplog.records if record.name == "heed.web"]
    assert len(logged) == 3
    assert logged[1] == "the store failed: Exception"
    for line in (logged[0], logged[2]):
        assert "GET failed: ZeroDivisionError at" in line
        assert line.endswith(" defect")
    everything = "\n".join(f"{record.getMessage()} {record.exc_text}" for record in caplog.records
                           if record.name != "httpx2")  # fmt: skip
    assert SECRET not in everything
    assert next(iter(client.cookies.values())) not in everything


def test_without_accounts_the_visitor_is_the_owner(store: Store) -> None:
    app = create_app(store, PROJECT, accounts=False)
    client = local(app)
    assert client.get("/owner").status_code == 200
    answer = right_answer(client)
    assert client.post("/api/answers", json=answer).json()["error"] == "csrf"
    page = client.get("/label").text
    token = page.split('<meta name="csrf" content="')[1].split('"')[0]
    answered = client.post("/api/answers", json=answer, headers={"X-CSRF-Token": token})
    assert answered.json()["progress"]["mine"] == 1
    with store.read() as session:
        (member,) = members.listing(session)
    assert (member.name, member.role, member.source) == (machine_user(), "owner", "people")
    again = create_app(store, PROJECT, accounts=False)
    assert local(again).get("/api/next").json()["progress"]["mine"] == 1
    assert "Log out" not in page
    assert client.post("/logout", headers={"X-CSRF-Token": token}).headers["location"] == "/goodbye"


def test_a_person_is_a_person_whatever_was_imported_under_their_name(store: Store) -> None:
    with store.write() as session:
        project = projects.find(session, PROJECT)
        assert project is not None
        imported = Annotation("secret-item-0", machine_user(), 3, source="import")
        labels.add(session, project.id, [imported])
    for _ in range(2):  # a restart finds the same person
        app = create_app(store, PROJECT, accounts=False, limits=FREE)
        client = local(app)
        client.headers["X-CSRF-Token"] = app.state.site.secret
        assert client.post("/api/answers", json=right_answer(client)).status_code == 200
    with store.read() as session:
        said = labels.read_all(session, project.id)
    name = f"{machine_user()} 2"
    assert [(each.annotator, each.source) for each in said[1:]] == [(name, "people")] * 2


@pytest.mark.parametrize(
    ("host", "served"),
    [
        ("127.0.0.1", True), ("127.0.0.1:8000", True), ("localhost:1", True), ("LOCALHOST", True),
        ("[::1]:8000", True), ("[::1]", True),
        ("evil.example", False), ("evil.example:8000", False), ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False), ("127.0.0.1@evil.example", False), ("", False),
        ("0.0.0.0:8000", False), ("192.168.1.5:8000", False), ("localhost:8000:8000", False),
        ("::1", False), ("localhost, evil.example", False), ("127.1", False),
        ("127.0.0.2:8000", True), ("[::2]:8000", False), ("[localhost.evil.example]", False),
    ],
)  # fmt: skip
def test_without_accounts_only_this_machines_names_are_served(
    store: Store, host: str, served: bool
) -> None:
    client = local(create_app(store, PROJECT, accounts=False))
    for path in ("/label", "/api/next", "/static/base.css", "/health"):
        answer = client.get(path, headers={"Host": host})
        assert answer.status_code == (200 if served else 421)
        if not served:
            assert answer.json()["error"] == "host"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_too_many_requests_are_told_when_to_come_back(store: Store) -> None:
    limits = Limits(session_rate=0.5, session_burst=5, address_rate=0.5, address_burst=8)
    client = local(create_app(store, PROJECT, accounts=False, limits=limits))
    statuses = [client.get("/api/next").status_code for _ in range(9)]
    assert statuses == [200] * 8 + [429]
    answer = client.get("/api/next")
    assert answer.json()["error"] == "too_many"
    assert 1 <= int(answer.headers["Retry-After"]) <= 4
    page = client.get("/label", headers={"Accept": "text/html"})
    assert (page.status_code, "Too many requests" in page.text) == (429, True)


def test_a_project_that_vanished_is_no_defect(store: Store) -> None:
    client = local(create_app(store, "another", accounts=False, limits=FREE))
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["error"]) == (404, "no_project")


def test_health(app: FastAPI, visitor: Visitor) -> None:
    client: Any = visitor(None)
    told = client.get("/health").json()
    assert told == {
        "status": "ok",
        "project": PROJECT,
        "uid": app.state.site.uid,
        "accounts": app.state.site.accounts,
    }
