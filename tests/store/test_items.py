"""Items: what goes in comes out, an id has one content, and the database keeps order."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from labelling import item, project
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from heed.store import items
from heed.store.database import Store
from heed.store.items import Added
from heed.types import Item, Message, Prompt

TALK = Prompt(
    "a talk",
    (
        Message("system", "Be brief."),
        Message("user", "Hello \U0001f44b, 你好 \u202e\u0000".replace("\u0000", "")),
        Message("assistant", "<script>alert(1)</script>"),
        Message("user", "'; DROP TABLE item; --"),
    ),
    "small talk",
    "heldout",
)
KINDS = [
    item("pair"),
    item("gold", known=7),
    Item("ranking", TALK, ("a", "b", "c"), ("x", "", "z"), known=(1, 1, 3), priority=-2.5),
    Item("no models", TALK, ("", "")),
    Item("tie", TALK, ("a", "b"), known="tie"),
    Item("same model", TALK, ("a", "b"), ("", "")),
]


def test_what_goes_in_comes_out(store: Store) -> None:
    made, _ = project(store, KINDS)
    with store.read() as session:
        assert items.read_all(session, made.id) == KINDS
        assert items.read_one(session, made.id, "ranking") == KINDS[2]
        with pytest.raises(ValueError, match="no item 'x'"):
            items.read_one(session, made.id, "x")
        for wrong in ("\x00", "\ud800", "x" * 501):
            with pytest.raises(ValueError, match="an item's id"):
                items.read_one(session, made.id, wrong)


def test_more_items_than_a_statement_takes(store: Store) -> None:
    many = [item(f"{at}") for at in range(1203)]
    made, _ = project(store, many)
    with store.write() as session:
        assert items.add(session, made.id, [*many, item("new")]) == Added(1, 1203)
        assert [each.id for each in items.read_all(session, made.id)[-2:]] == ["1202", "new"]


def test_the_same_item_again_is_known(store: Store) -> None:
    made, _ = project(store, [item("a")])
    with store.write() as session:
        again = replace(item("a"), priority=3.0)
        assert items.add(session, made.id, [again, item("b"), item("b")]) == Added(1, 2)
        assert items.read_one(session, made.id, "a").priority == 0


@pytest.mark.parametrize(
    "other",
    [
        replace(item("a"), answers=("a first", "other")),
        replace(item("a"), models=()),
        replace(item("a"), known=1),
        replace(item("a"), prompt=Prompt.of("other", id="Question a?")),
        replace(item("a"), prompt=Prompt.of("Question a?", family="other")),
        replace(item("a"), prompt=Prompt.of("Question a?", split="heldout")),
    ],
)
def test_an_id_has_one_content(store: Store, other: Item) -> None:
    made, _ = project(store, [item("a")])
    with pytest.raises(ValueError, match="'a'"), store.write() as session:
        items.add(session, made.id, [item("b"), other])
    with store.write() as session, pytest.raises(ValueError, match="'c'"):
        items.add(session, made.id, [item("c"), replace(other, id="c")])
    with store.read() as session:
        assert items.read_all(session, made.id) == [item("a")]


@pytest.mark.parametrize(
    "bad",
    [
        replace(item("a"), id=""), replace(item("a"), id="x" * 501), replace(item("a"), id="\x00"),
        replace(item("a"), answers=("\ud800", "b")), replace(item("a"), answers=("a", "\x00")),
        replace(item("a"), models=("\udfff", "b")), replace(item("a"), priority=math.nan),
        replace(item("a"), prompt=Prompt.of("a\x00b", id="p")),
        replace(item("a"), prompt=Prompt.of("p", family="\ud800")),
        replace(item("a"), prompt=Prompt.of("p", split="test")),  # type: ignore[arg-type]
        replace(item("a"), answers=("x" * 400_001, "b")), replace(item("a"), priority=math.inf),
    ],
)  # fmt: skip
def test_content_that_no_database_takes(store: Store, bad: Item) -> None:
    made, _ = project(store, 0)
    with store.write() as session, pytest.raises(ValueError, match=r"id|of item|'a'|name"):
        items.add(session, made.id, [item("good"), bad])
    with store.read() as session:
        assert items.read_all(session, made.id) == []


def test_priorities(store: Store) -> None:
    made, _ = project(store, 3, per_item=2)
    with store.write() as session:
        items.set_priorities(session, made.id, {"item 1": 2.5, "item 0": -1})
        assert [each.priority for each in items.read_all(session, made.id)] == [-1, 2.5, 0]
        for wrong in ({"item 0": math.nan}, {"item 0": 9.0, "nothing": 1.0}):
            with pytest.raises(ValueError, match="item"):
                items.set_priorities(session, made.id, wrong)
        items.set_priorities(session, made.id, {})
    with store.read() as session:
        assert [each.priority for each in items.read_all(session, made.id)] == [-1, 2.5, 0]


def test_there_must_be_a_project(store: Store) -> None:
    with store.write() as session, pytest.raises(ValueError, match="no project"):
        items.add(session, 7, [item("a")])


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO item (project_id, name, prompt, messages, family, split, size, priority, rank,"
        " digest) SELECT project_id, name, prompt, messages, family, split, size, priority, rank,"
        " digest FROM item",
        "UPDATE item SET size = 1",
        "UPDATE item SET split = 'test'",
        "DELETE FROM item",
        "INSERT INTO answer VALUES (1, 0, 'again', NULL)",
        "INSERT INTO answer VALUES (99, 0, 'of nothing', NULL)",
        "UPDATE answer SET place = place - 1",
        "UPDATE answer SET body = 'another'",
        "UPDATE answer SET model = 'another'",
        "DELETE FROM answer WHERE place = 1",
        "UPDATE item SET messages = '[]'",
        "UPDATE item SET known = '1'",
        "UPDATE item SET project_id = 2",
        "UPDATE slot SET project_id = 2",
        "INSERT INTO slot (handle, project_id, item_id, kind, place, occasion, priority, rank)"
        " SELECT 'x', project_id + 1, id, 'wanted', 7, 0, 0, 0 FROM item",
        "UPDATE project SET per_item = 1001",
        "UPDATE project SET per_item = 0",
        "UPDATE project SET gold_rate = 0.7, repeat_rate = 0.7",
        "UPDATE project SET queue_order = 'x'",
    ],
)
def test_the_database_forbids(store: Store, statement: str) -> None:
    project(store, 1)
    project(store, 0, name="coffee", people=())
    with pytest.raises(DBAPIError, match=r"(?i)constraint"), store.write() as session:
        session.execute(text(statement))


def test_more_answers_than_can_be_ranked_are_refused(store: Store) -> None:
    made, _ = project(store, 1)
    many = Item("many", Prompt.of("q"), tuple(str(at) for at in range(101)))
    with store.write() as session, pytest.raises(ValueError, match=r"at most 100 .* 101 of item"):
        items.add(session, made.id, [many])
    with store.write() as session:
        items.add(session, made.id, [replace(many, answers=many.answers[:100])])
