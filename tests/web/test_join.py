"""Invitations, names, sessions and signing out, as a browser without JavaScript sees them."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from visitors import FREE, PROJECT

from heed.store import access, members
from heed.store.database import Store
from heed.store.members import Role
from heed.web.access import VISITOR_COOKIE
from heed.web.app import create_app

Visitor = Callable[..., TestClient]


def invitation(store: Store, role: Role = "annotator", name: str = "") -> str:
    with store.write() as session:
        return access.invite(session, role, name=name)


def csrf_in(page: str) -> str:
    found = re.search(r'<input type="hidden" name="csrf" value="([^"]+)">', page)
    assert found is not None
    return found.group(1)


def join(client: TestClient, token: str, name: str | None = "Anna"):  # type: ignore[no-untyped-def]
    page = client.get(f"/join/{token}")
    assert page.status_code == 200
    form = {"csrf": csrf_in(page.text)} | ({} if name is None else {"name": name})
    return client.post(f"/join/{token}", data=form)


@pytest.fixture
def browser(app: FastAPI) -> TestClient:
    return TestClient(app, follow_redirects=False)


def test_from_the_link_to_the_first_comparison_and_out(store: Store, browser: TestClient) -> None:
    token = invitation(store)
    assert browser.get("/label").status_code == 401
    answer = join(browser, token, "  Anna   Lee ")
    assert (answer.status_code, answer.headers["location"]) == (303, "/guidelines?first=1")
    guidelines = browser.get("/guidelines?first=1")
    assert "Be <em>fair</em>." in guidelines.text
    assert "Welcome, Anna Lee" in guidelines.text
    assert browser.get("/").headers["location"] == "/label"
    assert browser.get("/api/next").json()["task"]["lease"]
    with store.read() as session:
        (member,) = members.listing(session)
    assert (member.name, member.role, member.source) == ("Anna Lee", "annotator", "people")
    page = browser.get("/label").text
    kept = dict(browser.cookies)
    assert browser.post("/logout", data={"csrf": csrf_in(page)}).headers["location"] == "/goodbye"
    assert "You are signed out" in browser.get("/goodbye").text
    assert not browser.cookies
    browser.cookies.update(kept)  # a thief who kept the cookie
    assert browser.get("/label").status_code == 401


def test_looking_at_a_link_does_not_use_it_up_and_joining_does(
    store: Store, app: FastAPI, browser: TestClient
) -> None:
    token = invitation(store)
    for _ in range(3):
        assert browser.get(f"/join/{token}").status_code == 200
    assert join(browser, token).status_code == 303
    second = TestClient(app, follow_redirects=False)
    for answer in (second.get(f"/join/{token}"), browser.get(f"/join/{token}")):
        assert answer.status_code == 410
        assert "used already" in answer.json()["message"]


@pytest.mark.parametrize("state", ["unknown", "expired", "revoked", "half", "longer"])
def test_links_that_lead_nowhere(state: str, store: Store, browser: TestClient) -> None:
    token = invitation(store)
    if state == "expired":
        with store.write() as session:
            long_ago = datetime.now(UTC) - timedelta(days=8)
            token = access.invite(session, "owner", now=long_ago)
    if state == "revoked":
        with store.write() as session:
            assert access.revoke_invite(session, access.invites(session)[0].id)
    token = {"unknown": "A" * 43, "half": token[:20], "longer": f"{token}x"}.get(state, token)
    answer = browser.get(f"/join/{token}")
    assert (answer.status_code, answer.json()["error"]) == (410, "no_invitation")
    browser.cookies.set(VISITOR_COOKIE, "cookie-of-a-visitor")
    form = {"csrf": "cookie-of-a-visitor", "name": "Anna"}
    assert browser.post(f"/join/{token}", data=form).status_code == 410
    with store.read() as session:
        assert members.listing(session) == []


def test_joining_needs_the_form_that_this_browser_was_shown(
    store: Store, app: FastAPI, browser: TestClient
) -> None:
    token = invitation(store)
    form = {"csrf": csrf_in(browser.get(f"/join/{token}").text), "name": "Anna"}
    elsewhere = TestClient(app, follow_redirects=False)
    for data in (form, {"name": "Anna"}, {"csrf": "", "name": "Anna"}):
        assert elsewhere.post(f"/join/{token}", data=data).json()["error"] == "csrf"
    second_tab = csrf_in(browser.get(f"/join/{token}").text)
    assert second_tab == form["csrf"]
    assert browser.post(f"/join/{token}", data=form).status_code == 303


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "Please give a name."), ("   ", "Please give a name."), (None, "Please give a name."),
        ("x" * 101, "at most 100"), ("Bert", "is taken"),
        ("a\x07b", "cannot be seen"), ("a\u202eb", "cannot be seen"),
        ("a\u200bb", "cannot be seen"), ("a\ufffe", "cannot be seen"),
        ("Bert (arena #1)", "kept for votes and rulings"),
        ("Bert (adjudication #1)", "kept for votes and rulings"),
    ],
)  # fmt: skip
def test_a_name_that_cannot_be_is_asked_for_again(
    name: str | None, problem: str, store: Store, browser: TestClient, visitor: Visitor
) -> None:
    visitor("annotator", "Bert")
    token = invitation(store)
    answer = join(browser, token, name)
    assert answer.status_code == 422
    assert problem in answer.text
    with store.read() as session:
        assert [member.name for member in members.listing(session)] == ["Bert"]
    assert join(browser, token).status_code == 303


def test_a_link_for_a_member_lets_that_member_in_again(store: Store, app: FastAPI) -> None:
    first, second = (TestClient(app, follow_redirects=False) for _ in range(2))
    assert join(first, invitation(store, "reviewer", name="Rita"), None).status_code == 303
    page = second.get(f"/join/{(token := invitation(store, 'reviewer', name='Rita'))}").text
    assert "<strong>Rita</strong>" in page
    assert 'name="name"' not in page
    assert join(second, token, "Somebody").status_code == 303
    with store.read() as session:
        assert [member.name for member in members.listing(session)] == ["Rita"]
    assert first.get("/owner").status_code == second.get("/owner").status_code == 200


@pytest.mark.parametrize("secure", [False, True])
def test_cookies_are_kept_from_scripts_and_other_sites(store: Store, secure: bool) -> None:
    app = create_app(store, PROJECT, accounts=True, secure_cookies=secure, limits=FREE)
    browser = TestClient(app, base_url="https://testserver", follow_redirects=False)
    token = invitation(store)
    shown = browser.get(f"/join/{token}")
    joined = join(browser, token)
    set_by = [*shown.headers.get_list("set-cookie"), joined.headers.get_list("set-cookie")[0]]
    assert len(set_by) == 2
    for cookie in set_by:
        words = {word.strip().lower() for word in cookie.split(";")}
        assert {"httponly", "samesite=lax", "path=/"} <= words
        assert ("secure" in words) == secure


def test_tokens_are_not_in_the_database(store: Store, browser: TestClient, tmp_path: Path) -> None:
    token = invitation(store)
    join(browser, token)
    site = browser.app.state.site  # type: ignore[attr-defined]
    session_token = browser.cookies[site.session_cookie]
    csrf = csrf_in(browser.get("/label").text)
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert b"Anna" in written
    for secret in (token, session_token, csrf):
        assert secret.encode() not in written


def test_two_projects_on_one_host_do_not_share_a_cookie(store: Store) -> None:
    names = {create_app(store, name, accounts=True).state.site.session_cookie for name in "abc"}
    assert len(names) == 3


def test_looking_at_a_link_waits_for_nobody(store: Store, browser: TestClient) -> None:
    """Anyone can ask for any link: that must not take the one writer's turn."""
    answers: list[int] = []

    def look() -> None:
        answers.append(browser.get(f"/join/{'x' * 43}").status_code)

    with store.write():
        looking = threading.Thread(target=look)
        looking.start()
        looking.join(5)
        assert answers == [410]
    looking.join()


def test_whoever_is_signed_in_is_told_whose_place_a_newcomer_takes(
    store: Store, browser: TestClient
) -> None:
    """An owner who tries an annotator's link would else lose the way back without a word."""
    told = "signed in as <strong>Olga</strong>"
    assert "signed in as" not in browser.get(f"/join/{invitation(store)}").text
    join(browser, invitation(store, "owner"), "Olga")
    assert told in browser.get(f"/join/{invitation(store)}").text
    assert told not in browser.get(f"/join/{invitation(store, 'owner', 'Olga')}").text
