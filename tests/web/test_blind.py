"""Gold items and repeats look like any other task: nothing in the responses tells them apart."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from visitors import FREE, PROJECT, visitor_of

from heed.store.database import Store
from heed.store.projects import ProjectSettings
from heed.store.schema import SlotRow
from heed.types import Item, Prompt
from heed.web.app import create_app

NewStore = Callable[..., Store]
TASKS = 120


def pairs(ordinary: int, gold: int) -> list[Item]:
    asked = [Item(f"i{at}", Prompt.of(f"Q {at}?"), (f"a{at}", f"b{at}")) for at in range(ordinary)]
    known = [
        Item(f"g{at}", Prompt.of(f"G {at}?"), (f"c{at}", f"d{at}"), known=1) for at in range(gold)
    ]
    return [*asked, *known]


@dataclass(frozen=True)
class Turn:
    """One task of a labelling session: its kind, and what the server said around it."""

    kind: str
    lease: str
    replies: list[dict[str, Any]]


def labelling(client: TestClient, turns: int) -> Iterator[list[dict[str, Any]]]:
    """What the server says around one task after another: asked, kept, answered, undone, answered
    again.
    """
    for turn in range(turns):
        asked = client.get("/api/next").json()
        lease = asked["task"]["lease"]
        body = {"lease": lease, "key": f"a{turn}", "verdict": 3}
        replies = [asked, client.put(f"/api/drafts/{lease}", json={"text": "x"}).json()]
        replies.append(client.post("/api/answers", json=body).json())
        replies.append(client.post("/api/undo").json())
        again = {**body, "key": f"b{turn}"}
        replies.append(client.post("/api/answers", json=again).json())
        yield replies


@pytest.fixture
def turns(new_store: NewStore) -> list[Turn]:
    settings = ProjectSettings(per_item=2, gold_rate=0.25, repeat_rate=0.2, seed=3)
    store = new_store(settings, pairs(200, 60))
    app = create_app(store, PROJECT, accounts=True, limits=FREE)
    with visitor_of(app, "annotator", "Eve") as client:
        said = list(labelling(client, TASKS))
    with store.read() as session:
        rows = session.execute(select(SlotRow.handle, SlotRow.kind))
        kinds = {row.handle: row.kind for row in rows}
    leases = [replies[0]["task"]["lease"] for replies in said]
    return [Turn(kinds[lease], lease, replies) for lease, replies in zip(leases, said, strict=True)]


def shape(value: Any) -> Any:
    """Names, in their order, and types."""
    if isinstance(value, dict):
        return tuple((key, shape(inner)) for key, inner in value.items())
    if isinstance(value, list):
        return tuple(shape(inner) for inner in value)
    return type(value).__name__


def test_replies_have_one_shape(turns: list[Turn]) -> None:
    assert {turn.kind for turn in turns} == {"wanted", "gold", "repeat"}
    assert len({shape(turn.replies) for turn in turns}) == 1


def test_leases_are_random(turns: list[Turn]) -> None:
    """The chance that a special task's lease is above an ordinary one's, as drawn at random."""
    assert all(re.fullmatch(r"[0-9a-f]{16}", turn.lease) for turn in turns)
    assert len({turn.lease for turn in turns}) == TASKS
    special = [int(turn.lease, 16) for turn in turns if turn.kind != "wanted"]
    others = [int(turn.lease, 16) for turn in turns if turn.kind == "wanted"]
    above = sum(one > other for one in special for other in others)
    assert 0.2 < above / (len(special) * len(others)) < 0.8  # six standard errors


def test_no_counter_tells_them(turns: list[Turn]) -> None:
    """Every number moves alike around every task."""
    moves = set()
    before: dict[str, int] | None = None
    for turn in turns:
        counts = [reply["progress"] for reply in turn.replies if "progress" in reply]
        start = before or counts[0]
        moves.add(tuple((key, *(at[key] - start[key] for at in counts)) for key in start))
        before = counts[-1]
    assert moves == {(("mine", 0, 1, 1),)}


def test_without_them_it_is_told_what_is_left(new_store: NewStore) -> None:
    store = new_store(ProjectSettings(per_item=2), pairs(5, 3))
    app = create_app(store, PROJECT, accounts=True, limits=FREE)
    with visitor_of(app, "annotator", "Eve") as client:
        told = [replies[-1]["progress"] for replies in labelling(client, 5)]
    assert told == [{"mine": at + 1, "left": 4 - at} for at in range(5)]
