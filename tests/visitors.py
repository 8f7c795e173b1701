"""A project to label and visitors of every role, for the tests of the web app."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from heed.store import access
from heed.store.database import Store
from heed.types import Item, Message, Prompt
from heed.web.access import VISITOR_COOKIE, Site
from heed.web.limits import Limits

PROJECT = "capitals"
MODELS = ("model-alpha-7b", "model-beta-13b")
FREE = Limits(session_rate=1e6, session_burst=10**6, address_rate=1e6, address_burst=10**6)
"""Limits that no test meets by accident."""


def some_items(n: int = 6) -> list[Item]:
    """Pairs, one with a known answer, one ranking of three, one of several turns."""
    pairs = [
        Item(
            f"secret-item-{at}", Prompt.of(f"Question {at}?"), (f"Good {at}.", f"Bad {at}."), MODELS
        )
        for at in range(n)
    ]
    talk = (Message("user", "Hello."), Message("assistant", "Yes?"), Message("user", "Which city?"))
    return [
        *pairs,
        Item("secret-gold", Prompt.of("2 + 2?"), ("4", "5"), MODELS, known=1),
        Item("secret-ranking", Prompt.of("A colour?"), ("red", "green", "blue")),
        Item("secret-talk", Prompt("talk", talk), ("Paris.", "Rome.")),
    ]


def visitor_of(app: FastAPI, role: str | None, name: str) -> TestClient:
    """A client with a session of its own, or with a visitor's cookie alone."""
    if role is None:
        client = TestClient(app, follow_redirects=False)
        client.cookies.set(VISITOR_COOKIE, "a-visitor-cookie")
        client.headers["X-CSRF-Token"] = "a-visitor-cookie"
        return client
    site: Site = app.state.site
    return client_of(app, new_session(site.store, role, name))


def new_session(store: Store, role: str, name: str) -> str:
    """The token of a new session of a new member."""
    with store.write() as session:
        invitation = access.invite(session, role)  # type: ignore[arg-type]
        return access.redeem(session, invitation, name)[1]


def client_of(app: FastAPI, token: str) -> TestClient:
    """A client with this session and, where the store knows it, the token for its forms."""
    site: Site = app.state.site
    client = TestClient(app, follow_redirects=False)
    client.cookies.set(site.session_cookie, token)
    with site.store.read() as session:
        login = access.member_of(session, token)
    client.headers["X-CSRF-Token"] = login.csrf if login else "no such thing"
    return client


def right_answer(client: TestClient, **changes: Any) -> dict[str, Any]:
    """The body of an answer to the client's next task, as it should be, then changed."""
    task = client.get("/api/next").json()["task"]
    verdict: Any = 3 if task["kind"] == "pair" else list(range(1, len(task["answers"]) + 1))
    body = {
        "lease": task["lease"], "key": f"key-{task['lease']}", "verdict": verdict, "seconds": 4.5,
        "rewrite": "", "tags": ["clear"], "comment": "", "ui": "test",
    }  # fmt: skip
    return {**body, **changes}
