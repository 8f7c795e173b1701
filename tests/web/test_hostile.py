"""Hostile inputs, sent to the app: nothing executed, leaked or lost, and clear refusals."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from html.parser import HTMLParser
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hostile import BROKEN_BODIES, HTML, ODD_TEXTS, SCRIPTS, SQL, TEXTS, WRONG_FIELDS
from needs import missing
from sqlalchemy import inspect
from visitors import FREE, PROJECT, client_of, new_session, right_answer, some_items, visitor_of

from heed.store import access, items, members, projects
from heed.store import annotations as labels
from heed.store.database import Store
from heed.types import Annotation, Item, Message, Prompt
from heed.web.app import create_app
from heed.web.markdown import to_html
from heed.web.server import listen

Visitor = Callable[..., TestClient]
OUR_SCRIPTS = ("/static/",)
FIRED = "stolen("


class Page(HTMLParser):
    """What a browser would run or fetch in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inside_script = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.inside_script = tag == "script"
        if tag in {"script", "link", "img", "iframe", "object", "embed", "base", "use"}:
            address = values.get("src") or values.get("href") or ""
            if not address.startswith(OUR_SCRIPTS):
                self.found.append(f"{tag} {address}")
        for name, value in values.items():
            squeezed = "".join(value.split()).lower()
            if name.startswith("on") or name in {"style", "srcdoc"}:
                self.found.append(f"{tag} {name}={value}")
            if squeezed.startswith(("javascript:", "vbscript:", "data:")):
                self.found.append(f"{tag} {name}={value}")

    def handle_data(self, data: str) -> None:
        if self.inside_script and data.strip():
            self.found.append(f"script {data}")


def stored(store: Store) -> list[Annotation]:
    with store.read() as session:
        project = projects.find(session, PROJECT)
        assert project is not None
        return labels.read_all(session, project.id, history=True)


def intact(store: Store) -> None:
    """The store still has its tables, its items, and the members in their roles."""
    with store.read() as session:
        project = projects.find(session, PROJECT)
        assert project is not None
        assert len(items.read_all(session, project.id)) == len(some_items())
        tables = set(inspect(session.connection()).get_table_names())
    assert {"project", "item", "answer", "member", "login", "slot", "annotation"} <= tables


def test_what_models_and_annotators_write_is_never_run(new_store: Callable[..., Store]) -> None:
    """Payloads, some at a time, as prompt and answers, then as rewrite, tag and comment."""
    texts = ["\n\n".join(SCRIPTS[at : at + 5]).strip() for at in range(0, len(SCRIPTS), 5)]
    given = [
        Item(f"i{at}", Prompt(f"p{at}", (Message("system", text), Message("user", text))),
             (text, f"{text} "))
        for at, text in enumerate(texts)
    ]  # fmt: skip
    store = new_store(given=given)
    app = create_app(store, PROJECT, accounts=True, limits=FREE)
    shown: list[str] = []
    with visitor_of(app, "annotator", "Anna") as client, visitor_of(app, "owner", "O") as owner:
        while task := client.get("/api/next").json()["task"]:
            text = task["texts"][0].strip()
            shown += [*(message["html"] for message in task["messages"]), *task["answers"]]
            body = {"lease": task["lease"], "key": str(task["lease"]), "verdict": "tie",
                    "rewrite": text, "tags": [text[:100]], "comment": text}  # fmt: skip
            assert client.post("/api/answers", json=body).status_code == 200
        with store.write() as session:  # a second opinion, so that every item is disputed
            project = projects.find(session, PROJECT)
            assert project is not None
            more = [Annotation(item.id, text[:100], 1, comment=text)
                    for item, text in zip(given, texts, strict=True)]  # fmt: skip
            labels.add(session, project.id, more)
        for path in ("/owner", "/owner/annotators", "/owner/disputed", "/owner/guidelines"):
            page = owner.get(path)
            assert page.status_code == 200
            shown.append(page.text)
        assert FIRED in owner.get("/owner/disputed").text
    assert [found for html in shown for found in Page(html).found] == []
    assert {one.rewrite for one in stored(store)} >= set(texts)


NAMES = [*(text for text in HTML[::2] if text.isprintable()), *SQL]


def test_names_are_shown_as_text(store: Store, app: FastAPI) -> None:
    for at, name in enumerate(NAMES):
        with store.write() as session:
            token = access.invite(session, "annotator")
        client = TestClient(app, follow_redirects=False)
        form = {"csrf": "c", "name": name}
        client.cookies.set("heed_visitor", "c")
        answer = client.post(f"/join/{token}", data=form)
        shown = answer.text
        if answer.status_code == 303:
            shown = client.get("/guidelines?first=1").text + client.get("/label").text
        else:
            assert (answer.status_code, len(name) > 100) == (422, True)
        assert Page(shown).found == [], at
    with store.read() as session:
        there = {member.name for member in members.listing(session)}
        assert {member.role for member in members.listing(session)} == {"annotator"}
    assert there == {" ".join(name.split()) for name in NAMES if len(name) <= 100}
    with visitor_of(app, "owner", "O") as owner:
        for path in ("/owner", "/owner/annotators", "/owner/invites", "/owner/disputed"):
            assert Page(owner.get(path).text).found == []
    intact(store)


@pytest.mark.parametrize("text", [*SQL, *ODD_TEXTS], ids=ascii)
def test_strange_texts_are_kept_exactly(text: str, store: Store, visitor: Visitor) -> None:
    client = visitor("annotator", "Anna")
    body = right_answer(client, rewrite=text, comment=text, tags=[text], ui=text)
    draft = client.put(f"/api/drafts/{body['lease']}", json={"text": text})
    assert draft.status_code == 200
    assert client.get("/api/next").json()["task"]["draft"] == text
    assert client.post("/api/answers", json=body).status_code == 200
    (one,) = stored(store)
    assert (one.rewrite, one.comment, one.tags, one.ui) == (text, text, (text,), text)
    intact(store)


@pytest.mark.parametrize("text", [*SQL, *TEXTS.values(), "1;", "-1", "9" * 30, "\u00b2"], ids=ascii)
def test_sql_and_broken_texts_in_addresses_cookies_and_headers(
    text: str, store: Store, app: FastAPI, visitor: Visitor
) -> None:
    client = visitor("owner")
    quoted = "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))
    for method, path in [
        ("GET", f"/join/{quoted}"), ("POST", f"/join/{quoted}"), ("PUT", f"/api/drafts/{quoted}"),
        ("GET", f"/api/next?beside={quoted}"), ("GET", f"/guidelines?first={quoted}"),
        ("POST", f"/owner/invites/{quoted}/revoke"), ("POST", f"/owner/members/{quoted}/logout"),
        ("POST", f"/owner/disputed/{quoted}/adjudicate"), ("POST", f"/api/arena/{quoted}/vote"),
        ("GET", f"/{quoted}"), ("GET", f"/static/{quoted}"),
    ]:  # fmt: skip
        answer = client.request(method, path, json={} if method != "GET" else None)
        assert 400 <= answer.status_code < 500, path
        assert set(answer.json()) == {"error", "message"}
    raw = text.encode("utf-8", "surrogatepass").replace(b"\0", b"")
    name = app.state.site.session_cookie.encode()
    with TestClient(app) as stranger:
        for header, value in ((b"Cookie", name + b"=" + raw), (b"X-CSRF-Token", raw)):
            answer = stranger.post("/api/undo", headers=[(header, value)], json={})
            assert answer.status_code == 401
    intact(store)


WRONG = [(field, value) for field, values in WRONG_FIELDS.items() for value in values]


@pytest.fixture(scope="module")
def module_app(empty_store: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    path = tmp_path_factory.mktemp("hostile") / "feedback.db"
    path.write_bytes(empty_store.read_bytes())
    store = Store.open(path)
    with store.write() as session:
        items.add(session, projects.create(session, PROJECT).id, some_items())
    yield create_app(store, PROJECT, accounts=True, limits=FREE)
    store.close()


@pytest.fixture(scope="module")
def annotator(module_app: FastAPI) -> Iterator[tuple[TestClient, dict[str, Any]]]:
    """One annotator for all bodies that are refused, and an answer that would be right."""
    with visitor_of(module_app, "annotator", "Anna") as client:
        yield client, right_answer(client)


@pytest.mark.parametrize(("field", "value"), WRONG, ids=lambda value: ascii(value)[:40])
def test_wrong_values_are_refused_one_by_one(
    field: str, value: Any, annotator: tuple[TestClient, dict[str, Any]]
) -> None:
    client, right = annotator
    answer = client.post("/api/answers", content=json.dumps({**right, field: value}),
                         headers={"Content-Type": "application/json"})  # fmt: skip
    assert answer.status_code in {400, 422}
    assert set(answer.json()) == {"error", "message"}
    assert answer.json()["message"]
    assert stored(client.app.state.site.store) == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("missing_field", ["lease", "key", "verdict"])
def test_what_is_needed_must_be_there(
    missing_field: str, annotator: tuple[TestClient, dict[str, Any]]
) -> None:
    client, right = annotator
    body = {key: value for key, value in right.items() if key != missing_field}
    answer = client.post("/api/answers", json=body)
    assert answer.status_code == 422
    assert missing_field in answer.json()["message"]


KINDS = (
    "application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
    "multipart/form-data; boundary=x", "nonsense", "",
)  # fmt: skip


@pytest.mark.parametrize("body", BROKEN_BODIES, ids=lambda body: ascii(body[:30]))
def test_broken_bodies_are_refused(
    body: bytes, annotator: tuple[TestClient, dict[str, Any]]
) -> None:
    client, _ = annotator
    for kind in KINDS:
        for method, path in (("POST", "/api/answers"), ("PUT", f"/api/drafts/{'0' * 16}"),
                             ("POST", "/api/arena")):  # fmt: skip
            answer = client.request(method, path, content=body, headers={"Content-Type": kind})
            assert 400 <= answer.status_code < 500
            assert set(answer.json()) == {"error", "message"}
    assert stored(client.app.state.site.store) == []  # type: ignore[attr-defined]


def test_refusals_do_not_echo(annotator: tuple[TestClient, dict[str, Any]]) -> None:
    client, right = annotator
    mark = "<b>echo-me</b>"
    bodies: list[Any] = [
        {**right, mark: 1}, {**right, "verdict": mark}, {**right, "tags": [mark] * 99},
        {**right, "lease": mark}, [mark], mark, {mark: mark},
    ]  # fmt: skip
    for body in bodies:
        assert "echo-me" not in client.post("/api/answers", json=body).text
    for path in (f"/{mark}", f"/join/{mark}", f"/api/next?beside={mark}", f"/api/drafts/{mark}"):
        for accept in ("text/html", "*/*"):
            assert "echo-me" not in client.get(path, headers={"Accept": accept}).text


@pytest.fixture(scope="module")
def port(module_app: FastAPI) -> Iterator[int]:
    """The app behind a real server on loopback."""
    sock = listen("127.0.0.1", 0)
    config = uvicorn.Config(module_app, log_level="critical", access_log=False, ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    yield int(sock.getsockname()[1])
    server.should_exit = True
    thread.join(10)
    sock.close()


def spoken(port: int, request: bytes) -> bytes:
    """What a server says to these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        heard = b""
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request)
        # It may have stopped listening in the middle, and still have answered.
        with suppress(ConnectionResetError):
            while chunk := connection.recv(65536):
                heard += chunk
                if b"\r\n\r\n" in heard and heard.split(b"\r\n\r\n", 1)[1]:
                    break
    return heard


CHUNK = b"%x\r\n%s\r\n" % (65536, b"x" * 65536)
START = b"POST /api/answers HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (START + b"Content-Length: 300000\r\n\r\n" + b"x" * 300_000, b"413"),
        (START + b"Content-Length: 300000\r\n\r\n", b"413"),
        (START + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK * 5 + b"0\r\n\r\n", b"413"),
        (START + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK * 5, b"413"),
        (START + b"Content-Length: 1" + b"0" * 40 + b"\r\n\r\nx", b"4"),
        (START + b"Content-Length: -1\r\n\r\nx", b"400"),
        (START + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", b"400"),
        (b"GET /%ff%fe HTTP/1.1\r\nHost: x\r\n\r\n", b"404"),
        (b"GET /api/next HTTP/1.1\r\nHost: x\r\nCookie: heed_a=\xff\xfe; =;;\r\n\r\n", b"401"),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"4"),
        (b"nonsense\r\n\r\n", b"400"),
    ],
    ids=["announced", "announced only", "chunked", "chunked without end", "endless length",
         "negative length", "two lengths", "path", "cookie", "long path", "no HTTP"],
)  # fmt: skip
def test_a_real_server_refuses(port: int, request_bytes: bytes, status: bytes) -> None:
    heard = spoken(port, request_bytes)
    assert heard.startswith(b"HTTP/1.1 " + status)
    if status == b"413":
        assert b'"error":"too_large"' in heard


def test_a_browser_runs_none_of_it() -> None:
    """Everything at once in Chromium, without the policy that would forbid it anyway."""
    path = shutil.which("chromium")
    if path is None:
        missing("browser", "there is no chromium on the PATH")
    from playwright.sync_api import Route, sync_playwright
    from web.browser import FLAGS

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        page = browser.new_page()
        asked: list[str] = []

        def refuse(route: Route) -> None:
            asked.append(route.request.url)
            route.abort()

        page.route("**/*", refuse)
        page.set_content("<script>window.fired = 0; function stolen() { fired += 1 }</script>")
        look = """([htmls]) => { for (const html of htmls) {
            const box = document.createElement('div'); box.innerHTML = html;
            document.body.append(box) } }"""
        page.evaluate(look, [["<img src=x onerror=stolen()>"]])
        page.wait_for_function("fired == 1")  # the trap works
        asked.clear()
        page.evaluate(look, [[to_html(text) for text in SCRIPTS]])
        for link in page.locator("a:not([href^=http])").all():
            link.dispatch_event("click")
        page.wait_for_timeout(300)
        assert page.evaluate("fired") == 1
        assert asked == []
        assert page.locator("body > div *").count() > len(SCRIPTS)
        assert page.locator("div script, div iframe, div style, div svg, div form").count() == 0
        browser.close()


def test_a_member_of_another_store_is_nobody_here(
    app: FastAPI, new_store: Callable[..., Store]
) -> None:
    token = new_session(new_store(), "owner", "Foreign")
    with client_of(app, token) as client:
        for path in ("/label", "/owner", "/api/next", "/guidelines"):
            assert client.get(path).status_code == 401
