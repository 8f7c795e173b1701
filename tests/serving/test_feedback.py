"""Feedback: rows in the store, which the stages train on as on everybody's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from serving.conftest import Served

from heed.data.survey import survey
from heed.feedback.exporting import export_project
from heed.serving.remembering import Memory
from heed.store import replies
from heed.store.database import Store
from heed.store.replies import Reply
from heed.types import Prompt

ASKED: Any = [{"role": "user", "content": "yes no ?"}]
START = Callable[..., Served]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "feedback.db")
    yield opened
    opened.close()


@pytest.fixture
def served(serve: START, store: Store) -> Served:
    return serve({"one": 1}, ends=-1e9, memory=Memory(store, "served", keep=100))


def ask(served: Served, seed: int, content: str = "yes no ?", **more: Any) -> tuple[str, str]:
    """A reply's id and text."""
    reply = served.client().chat.completions.create(
        model="one", messages=[{"role": "user", "content": content}], seed=seed, max_tokens=8,
        **more,
    )  # fmt: skip
    if not more.get("stream"):
        return reply.id, reply.choices[0].message.content
    chunks = list(reply)
    return chunks[0].id, "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def say(served: Served, status: int = 201, **said: Any) -> Any:
    reply = served.post("/v1/feedback", said)
    assert reply.status_code == status, reply.text
    return reply.json()


def rows(store: Store, tmp_path: Path, format: str) -> list[Any]:
    path = tmp_path / f"{format}.jsonl"
    path.unlink(missing_ok=True)
    export_project(store, "served", path, format=format)
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_thumbs_become_unpaired_answers(served: Served, store: Store, tmp_path: Path) -> None:
    liked, good = ask(served, 1)
    disliked, bad = ask(served, 2, stream=True)
    assert say(served, id=liked, thumb="up", user="ann", comment="nice")["kind"] == "thumb"
    say(served, 200, id=liked, thumb="up", user="ann", comment="nice")
    say(served, id=disliked, thumb="up", user="ann")
    say(served, id=disliked, thumb="down", user="ann")  # another mind: the last one holds
    found = rows(store, tmp_path, "unpaired")
    told = [(row["completion"][0]["content"], row["label"], row["annotator"]) for row in found]
    assert told == [(good, True, "ann"), (bad, False, "ann")]
    assert all(row["prompt"] == ASKED for row in found)
    trained = survey([str(tmp_path / "unpaired.jsonl")])
    assert [each.desirable for each in trained.unpaired] == [True, False]


def test_a_preferred_regeneration_becomes_a_comparison(
    served: Served, store: Store, tmp_path: Path
) -> None:
    first, text = ask(served, 1)
    again, other = ask(served, 2)
    assert say(served, id=again, over=first, user="ann")["kind"] == "preference"
    say(served, 200, id=again, over=first, user="ann")
    say(served, id=first, over=again, user="bob")
    (one, two) = rows(store, tmp_path, "trl")
    assert (one["chosen"][0]["content"], one["rejected"][0]["content"]) == (other, text)
    assert (two["chosen"][0]["content"], two["annotator"]) == (text, "bob")
    say(served, id=first, over=again, user="ann")  # another mind
    assert [row["chosen"][0]["content"] for row in rows(store, tmp_path, "trl")] == [text, text]
    assert len(survey([str(tmp_path / "trl.jsonl")]).comparisons) > 0


def test_answers_of_one_reply_are_compared(served: Served, store: Store, tmp_path: Path) -> None:
    reply = served.client().chat.completions.create(
        model="one", messages=ASKED, seed=3, n=2, max_tokens=8
    )
    say(served, id=reply.id, choice=1, over_choice=0, user="ann")
    (row,) = rows(store, tmp_path, "trl")
    assert row["chosen"][0]["content"] == reply.choices[1].message.content


def test_an_edit_is_preferred_and_to_be_imitated(
    served: Served, store: Store, tmp_path: Path
) -> None:
    given, text = ask(served, 1)
    say(served, id=given, edit="yes, and why not", user="ann")
    (row,) = rows(store, tmp_path, "trl")
    assert row["chosen"][0]["content"] == "yes, and why not"
    assert row["rejected"][0]["content"] == text
    (shown,) = rows(store, tmp_path, "demonstrations")
    assert shown["messages"][-1]["content"] == "yes, and why not"


def test_what_makes_no_sense_is_told(served: Served, store: Store, tmp_path: Path) -> None:
    first, text = ask(served, 1)
    elsewhere, _ = ask(served, 1, content="red ?")
    for status, said in (
        (404, {"id": "chatcmpl-none", "thumb": "up"}),
        (404, {"id": first, "choice": 1, "thumb": "up"}),
        (409, {"id": first, "over": elsewhere}),
        (409, {"id": first, "over": first}),
        (409, {"id": first, "edit": text}),
        (400, {"id": first}),
        (400, {"id": first, "thumb": "up", "edit": "no"}),
        (400, {"id": first, "thumb": "sideways"}),
        (400, {"id": first, "thumb": "up", "user": "ann (arena #3)"}),
    ):
        answer = say(served, status, **said)
        assert set(answer["error"]) == {"message", "type", "param", "code"}
    with pytest.raises(Exception, match="nothing to export"):
        rows(store, tmp_path, "unpaired")


def test_what_no_database_takes_costs_no_other_reply(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """A NUL is replaced; a reply that is too long is left out, and said to be."""
    memory = Memory(store, "served", keep=100)

    async def remember() -> None:
        texts = ("good", "a\0b", "x" * 400_001, "also good")
        await memory.remember([Reply(f"r{at}", 0, Prompt.of("q"), text)
                               for at, text in enumerate(texts)])  # fmt: skip
        await memory.flush()

    asyncio.run(remember())
    with store.read() as session:
        found = [replies.find(session, memory.project_id, f"r{at}", 0) for at in range(4)]
    assert [each and each.reply.text for each in found] == ["good", "a\ufffdb", None, "also good"]
    assert "not remembered" in caplog.text


def test_without_a_store_there_is_no_feedback(serve: START) -> None:
    served = serve({"one": 1})
    given, _ = ask(served, 1)
    assert served.post("/v1/feedback", {"id": given, "thumb": "up"}).status_code == 404
