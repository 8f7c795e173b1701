"""The JSON of the comparing page: tasks, answers, undo, drafts, leases of others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update
from visitors import MODELS, PROJECT, right_answer, visitor_of

from heed.store import annotations as labels
from heed.store import guidelines, projects
from heed.store.database import Store
from heed.store.projects import ProjectSettings
from heed.store.schema import SlotRow
from heed.types import Annotation
from heed.web.app import create_app
from heed.web.markdown import to_html
from heed.web.routes import label

Visitor = Callable[..., TestClient]


def said(store: Store, *, history: bool = False) -> list[Annotation]:
    with store.read() as session:
        project = projects.find(session, PROJECT)
        assert project is not None
        return labels.read_all(session, project.id, history=history)


def test_a_task_shows_texts_and_nothing_else(visitor: Visitor) -> None:
    client = visitor("annotator")
    got = client.get("/api/next").json()
    task = got["task"]
    assert set(got) == {"task", "progress"}
    assert set(task) == {
        "lease", "kind", "messages", "answers", "texts", "expires", "earlier", "draft", "guideline",
    }  # fmt: skip
    assert len(task["answers"]) == len(task["texts"])
    assert task["answers"] == [f"<p>{text}</p>\n" for text in task["texts"]]
    assert task["messages"][-1]["html"].startswith("<p>")
    assert (task["earlier"], task["draft"], task["guideline"]) == (None, "", 1)
    expires = datetime.fromisoformat(task["expires"])
    assert timedelta(minutes=14) < expires - datetime.now(UTC) < timedelta(minutes=16)
    assert got["progress"] == {"mine": 0, "left": 8}


def test_an_annotator_answers_everything_and_sees_no_secret(store: Store, visitor: Visitor) -> None:
    """Models, item ids, known answers and other people's words stay out of every response."""
    other = visitor("annotator", "Otherwise")
    sent = right_answer(other, comment="other-comment", rewrite="other-rewrite", tags=["other-tag"])
    assert other.post("/api/answers", json=sent).status_code == 200
    client, seen, kinds = visitor("annotator", "Anna"), "", set()
    while (got := client.get("/api/next")).json()["task"]:
        task = got.json()["task"]
        kinds.add((task["kind"], len(task["messages"]), len(task["answers"])))
        answer = client.post("/api/answers", json=right_answer(client))
        undone = client.post("/api/undo")
        again = right_answer(client, key=f"again-{task['lease']}", verdict="cannot_tell")
        client.put(f"/api/drafts/{task['lease']}", json={"text": "draft"})
        corrected = client.post("/api/answers", json=again)
        assert corrected.json()["saved"]["revision"] == 1
        pages = [client.get(path) for path in ("/label", "/guidelines", "/health", "/owner")]
        seen += "".join(each.text for each in (got, answer, undone, corrected, *pages))
    assert kinds == {("pair", 1, 2), ("pair", 3, 2), ("ranking", 1, 3)}
    for secret in (*MODELS, "secret-", "known", "gold", "Otherwise", "other-", "priority"):
        assert secret not in seen
    assert client.get("/api/next").json()["progress"] == {"mine": 8, "left": 0}
    assert sum(one.annotator == "Anna" for one in said(store)) == 8
    assert sum(one.annotator == "Anna" for one in said(store, history=True)) == 16


def test_what_is_said_is_stored_as_it_was_said(store: Store, visitor: Visitor) -> None:
    client = visitor("annotator", "Anna")
    body = right_answer(client, verdict=7, seconds=12.25, rewrite="Bett\u00e9r \U0001f600",
                        tags=["a", "b"], comment="c\nd", ui="0.1")  # fmt: skip
    saved = client.post("/api/answers", json=body).json()["saved"]
    (one,) = said(store)
    assert replace(one, item="", order=(0, 1)) == Annotation(
        item="", annotator="Anna", verdict=7, seconds=12.25, guideline="1", source="people",
        rewrite="Bett\u00e9r \U0001f600", tags=("a", "b"), comment="c\nd", ui="0.1",
    )  # fmt: skip
    assert {key: saved[key] for key in body if key != "ui"} == {
        key: body[key] for key in body if key != "ui"
    }


def test_the_same_key_again_says_the_same_and_adds_nothing(store: Store, visitor: Visitor) -> None:
    client = visitor("annotator")
    body = right_answer(client)
    first, second = (client.post("/api/answers", json=body) for _ in range(2))
    assert first.status_code == second.status_code == 200
    assert first.json()["saved"] == second.json()["saved"]
    assert len(said(store, history=True)) == 1
    other = client.post("/api/answers", json={**body, "verdict": 1})
    assert (other.status_code, other.json()["error"]) == (422, "invalid")
    new_key = client.post("/api/answers", json={**body, "key": "new"})
    assert (new_key.status_code, new_key.json()["error"]) == (409, "lease_lost")
    assert len(said(store, history=True)) == 1


def test_fetching_ahead_gives_other_tasks_up_to_a_limit(visitor: Visitor) -> None:
    client = visitor("annotator")
    leases: list[str] = []
    for _ in range(3):
        beside = ",".join(leases)
        leases.append(client.get("/api/next", params={"beside": beside}).json()["task"]["lease"])
    assert len(set(leases)) == 3
    beside = ",".join(leases)
    assert client.get("/api/next", params={"beside": beside}).json()["task"] is None
    assert client.get("/api/next").json()["task"]["lease"] == leases[0]


def test_drafts_come_back_with_the_task(visitor: Visitor) -> None:
    client = visitor("annotator")
    lease = client.get("/api/next").json()["task"]["lease"]
    saved = client.put(f"/api/drafts/{lease}", json={"text": "half a sent"})
    assert saved.json() == {"saved": {"lease": lease}}
    assert client.get("/api/next").json()["task"]["draft"] == "half a sent"


def test_undo_opens_the_last_answer_again(store: Store, visitor: Visitor) -> None:
    client = visitor("annotator")
    assert client.post("/api/undo").json() == {"task": None}
    body = right_answer(client, comment="first thought")
    shown = client.get("/api/next").json()["task"]
    client.post("/api/answers", json=body)
    task = client.post("/api/undo").json()["task"]
    assert (task["lease"], task["texts"]) == (body["lease"], shown["texts"])
    assert task["earlier"]["verdict"] == body["verdict"]
    assert task["earlier"]["comment"] == "first thought"


def test_tasks_of_others_cannot_be_touched(store: Store, visitor: Visitor) -> None:
    anna, bert = visitor("annotator", "Anna"), visitor("owner", "Bert")
    body = right_answer(anna)
    attempts: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/api/answers", body),
        ("PUT", f"/api/drafts/{body['lease']}", {"text": "mine now"}),
    ]  # fmt: skip
    nowhere = "0123456789abcdef"
    never_was = [
        ("POST", "/api/answers", {**body, "lease": nowhere}),
        ("PUT", f"/api/drafts/{nowhere}", {"text": "mine now"}),
    ]
    for (method, path, sent), (_, path_never, sent_never) in zip(attempts, never_was, strict=True):
        foreign = bert.request(method, path, json=sent)
        unknown = bert.request(method, path_never, json=sent_never)
        assert (foreign.status_code, foreign.json()["error"]) == (404, "not_yours")
        assert (unknown.status_code, unknown.text) == (404, foreign.text)
    assert said(store) == []
    assert anna.get("/api/next").json()["task"]["draft"] == ""
    assert anna.post("/api/answers", json=body).status_code == 200


def test_a_lease_that_went_to_somebody_else_is_told_as_lost(
    new_store: Callable[..., Store],
) -> None:
    store = new_store(ProjectSettings(per_item=1, lease_seconds=60))
    app = create_app(store, PROJECT, accounts=True)
    with visitor_of(app, "annotator", "Anna") as anna, visitor_of(app, "annotator", "B") as bert:
        body = right_answer(anna)
        with store.write() as session:
            past = datetime.now(UTC) - timedelta(seconds=1)
            session.execute(
                update(SlotRow).where(SlotRow.handle == body["lease"]).values(leased_until=past)
            )
        taken = right_answer(bert)
        assert taken["lease"] == body["lease"]
        for answer in (
            anna.post("/api/answers", json=body),
            anna.put(f"/api/drafts/{body['lease']}", json={"text": "x"}),
        ):
            assert (answer.status_code, answer.json()["error"]) == (409, "lease_lost")
            assert "went to someone else" in answer.json()["message"]
        assert bert.post("/api/answers", json=taken).status_code == 200
    assert [one.annotator for one in said(store)] == ["B"]


def test_nobody_waits_for_another_ones_page(
    store: Store, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a task is rendered, others write: no transaction is open."""
    client, waits = visitor("annotator"), []

    def write() -> None:
        with store.write():
            pass

    def slowly(text: str) -> str:
        other = threading.Thread(target=write)
        other.start()
        other.join(30)
        waits.append(other.is_alive())
        return to_html(text)

    monkeypatch.setattr(label, "to_html", slowly)
    client.post("/api/answers", json=right_answer(client))
    assert client.post("/api/undo").json()["task"] is not None
    assert waits == [False] * len(waits) != []


def test_guidelines_are_those_in_force(store: Store, visitor: Visitor) -> None:
    client = visitor("annotator")
    assert "<h1>Rules</h1>" in client.get("/guidelines").text
    with store.write() as session:
        project = projects.find(session, PROJECT)
        assert project is not None
        guidelines.publish(session, project.id, "New <script>stolen()</script> ![x](http://e/p)")
    page = client.get("/guidelines").text
    assert "New &lt;script&gt;" in page
    assert "<img" not in page
    assert client.get("/api/next").json()["task"]["guideline"] == 2
    assert client.get("/guidelines", params={"first": "x"}).status_code == 422


@pytest.mark.parametrize(
    "verdict", [1, 8, "tie", "both_bad", "cannot_tell", [1, 2], [2, 1], [1, 1]]
)
def test_every_verdict_can_be_given(verdict: Any, store: Store, visitor: Visitor) -> None:
    client = visitor("annotator")
    answer = client.post("/api/answers", json=right_answer(client, verdict=verdict))
    assert answer.json()["saved"]["verdict"] == verdict
    expected = tuple(verdict) if isinstance(verdict, list) else verdict
    assert said(store)[0].verdict == expected
