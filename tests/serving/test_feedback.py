"""Feedback: rows in the store, which the stages train on as on everybody's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from serving.conftest import Served

from heed.data.survey import survey
from heed.errors import UserError
from heed.feedback.exporting import export_project
from heed.feedback.importing import import_file
from heed.serving.remembering import Memory, Said
from heed.store import replies
from heed.store.database import Store
from heed.types import Prompt, Reply

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


def test_all_that_users_said_moves_to_another_store(
    served: Served, store: Store, tmp_path: Path
) -> None:
    """Thumbs, with those that were taken back, and comparisons; the same file again: nothing."""
    first, _ = ask(served, 1)
    again, _ = ask(served, 2)
    say(served, id=first, thumb="up", user="ann", comment="nice")
    say(served, id=first, thumb="down", user="ann")
    say(served, id=first, thumb="up", user="bob")
    say(served, id=again, over=first, user="ann")
    assert len(rows(store, tmp_path, "heed")) == 2
    file = tmp_path / "heed.jsonl"
    other = Store.open(tmp_path / "other.db")
    report = import_file(other, "served", file)
    assert (report.items, report.annotations, report.opinions) == (1, 1, 3)
    assert "thumbs: 3" in str(report)
    again_report = import_file(other, "served", file)
    assert (again_report.opinions, again_report.known) == (0, 2)
    export_project(other, "served", tmp_path / "back.jsonl", format="heed")
    assert (tmp_path / "back.jsonl").read_text() == file.read_text()
    assert rows(other, tmp_path, "unpaired") == rows(store, tmp_path, "unpaired")
    trained = survey([str(file)])
    assert [(one.annotator, one.desirable) for one in trained.unpaired] == [
        ("ann", False), ("bob", True)
    ]  # fmt: skip
    assert len(trained.comparisons) == 1
    file.write_text(file.read_text().replace('"desirable": true', '"desirable": 1.5'))
    with pytest.raises(UserError, match="desirable"):
        import_file(other, "served", file)
    other.close()


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
        (400, {"id": "a\0b", "thumb": "up"}),
        (400, {"id": first, "thumb": "up", "user": "a\0"}),
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


def test_feedback_is_heard_however_many_replies_are_given_meanwhile(store: Store) -> None:
    memory = Memory(store, "served", keep=100_000)

    async def day() -> bool:
        async def others() -> None:
            for at in count():
                await memory.remember([Reply(f"other {at}", 0, Prompt.of("q"), "a")])
                await asyncio.sleep(0)

        given = asyncio.create_task(others())
        await asyncio.sleep(0.2)
        await memory.remember([Reply("r", 0, Prompt.of("q"), "good")])
        new = await asyncio.wait_for(memory.hear(Said("ann", ("r", 0), desirable=True)), 20)
        given.cancel()
        await memory.flush()
        return new

    assert asyncio.run(day())


def test_without_a_store_there_is_no_feedback(serve: START) -> None:
    served = serve({"one": 1})
    given, _ = ask(served, 1)
    assert served.post("/v1/feedback", {"id": given, "thumb": "up"}).status_code == 404
