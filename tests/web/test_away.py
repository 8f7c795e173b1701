"""The page while its store is away: it says so at once, and the same answer may be sent again."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from cable import Cable
from databases import postgres_url
from fastapi.testclient import TestClient
from visitors import FREE, PROJECT, right_answer, some_items, visitor_of

from heed.feedback import queue
from heed.store import items, projects
from heed.store.annotations import read_all
from heed.store.database import Store
from heed.web.app import create_app


@pytest.fixture
def cable() -> Iterator[Cable]:
    with Cable(postgres_url()) as made:
        yield made


@pytest.fixture
def store(cable: Cable) -> Iterator[Store]:
    opened = Store.open(cable.url)
    with opened.write() as session:
        project = projects.create(session, PROJECT)
        items.add(session, project.id, some_items(10))
    yield opened
    opened.close()


def labels(store: Store) -> int:
    with store.read() as session:
        (project,) = projects.listing(session)
        assert queue.progress(session, project).done == len(read_all(session, project.id))
        return len(read_all(session, project.id))


def test_an_answer_waits_until_the_store_is_back(cable: Cable, store: Store) -> None:
    app = create_app(store, PROJECT, accounts=True, limits=FREE)
    with visitor_of(app, "annotator", "Anna") as client:
        body = right_answer(client)
        cable.cut()
        began = time.monotonic()
        for told in (client.post("/api/answers", json=body), client.get("/api/next")):
            assert (told.status_code, told.json()["error"]) == (503, "store_busy")
            assert told.headers["Retry-After"] == "2"
        page = client.get("/label", headers={"Accept": "text/html"})
        assert page.status_code == 503
        assert re.search("store did not answer in time", page.text)
        assert time.monotonic() - began < 5
        cable.mend()
        saved = client.post("/api/answers", json=body)
        assert saved.status_code == 200
        assert client.post("/api/answers", json=body).json() == saved.json()
        assert labels(store) == 1


def test_a_lost_reply_of_the_store_is_a_503_and_the_answer_is_saved_once(
    cable: Cable, store: Store
) -> None:
    app = create_app(store, PROJECT, accounts=True, limits=FREE)
    with visitor_of(app, "annotator", "Anna") as client:
        for count in range(1, 4):
            body = right_answer(client)
            cable.losing = 1
            told = client.post("/api/answers", json=body)
            assert told.status_code == 503
            assert "nothing is saved twice" in told.json()["message"]
            assert labels(store) == count  # it was saved, and nobody was told
            assert client.post("/api/answers", json=body).json()["saved"]["key"] == body["key"]
            assert labels(store) == count
        assert cable.lost == 3


def test_a_page_without_accounts_serves_its_files_meanwhile(cable: Cable, store: Store) -> None:
    app = create_app(store, PROJECT, accounts=False, limits=FREE)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        cable.cut()
        assert client.get("/static/label.js").status_code == 200
        assert client.get("/health").status_code == 503
