"""The app on PostgreSQL, whose rules for texts and numbers are stricter than SQLite's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from databases import fresh_store
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hostile import BROKEN_BODIES, ODD_TEXTS, SQL, WRONG_FIELDS
from visitors import FREE, PROJECT, right_answer, some_items, visitor_of

from heed.store import access, guidelines, items, projects
from heed.web.app import create_app


@pytest.fixture
def app(tmp_path: Path) -> Iterator[FastAPI]:
    store = fresh_store("postgres", tmp_path)
    with store.write() as session:
        project = projects.create(session, PROJECT)
        items.add(session, project.id, some_items(40))
        guidelines.publish(session, project.id, "Be *fair*.")
    yield create_app(store, PROJECT, accounts=True, limits=FREE)
    store.close()


def test_from_the_link_to_the_owners_pages(app: FastAPI) -> None:
    with app.state.site.store.write() as session:
        token = access.invite(session, "owner")
    with TestClient(app, follow_redirects=False) as client:
        assert client.get("/join/no-such-token-at-all").status_code == 410
        client.get(f"/join/{token}")
        form = {"csrf": client.cookies["heed_visitor"], "name": "Anna"}
        assert client.post(f"/join/{token}", data=form).status_code == 303
        page = client.get("/guidelines").text
        client.headers["X-CSRF-Token"] = page.split('<meta name="csrf" content="')[1].split('"')[0]
        for text in [*SQL, *ODD_TEXTS]:
            body = right_answer(client, rewrite=text, comment=text, tags=[text], ui=text)
            draft = client.put(f"/api/drafts/{body['lease']}", json={"text": text})
            assert draft.status_code == 200
            saved = client.post("/api/answers", json=body).json()["saved"]
            assert (saved["rewrite"], saved["comment"], saved["tags"]) == (text, text, [text])
        assert client.post("/api/undo").json()["task"]["earlier"]["comment"] == ODD_TEXTS[-1]
        for path in ("/owner", "/owner/annotators", "/owner/disputed", "/owner/invites",
                     "/owner/guidelines", "/label", "/health"):  # fmt: skip
            assert client.get(path).status_code == 200
        assert client.post("/logout").status_code == 303
        assert client.get("/label").status_code == 401


def test_nothing_hostile_is_a_defect_there(app: FastAPI) -> None:
    with visitor_of(app, "annotator", "Anna") as client:
        right = right_answer(client)
        wrong: list[Any] = [
            {**right, field: value} for field, values in WRONG_FIELDS.items() for value in values
        ]
        as_json = {"Content-Type": "application/json"}
        for body in [*(json.dumps(body).encode() for body in wrong), *BROKEN_BODIES]:
            answer = client.post("/api/answers", content=body, headers=as_json)
            assert answer.status_code in {400, 422}, body[:80]
        assert client.get("/api/next").json()["progress"]["mine"] == 0
