"""Annotations: imports, what the database forbids, and what comes out again."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from labelling import item, project
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from heed.feedback.queue import Answer, LeaseLost, next_task, progress, submit
from heed.store import annotations as said_of
from heed.store import guidelines, items, members
from heed.store.database import Store
from heed.store.items import Added
from heed.store.schema import ProjectRow
from heed.types import Annotation, Item, Prompt, Verdict

VERDICTS: tuple[Verdict, ...] = (
    *(1, 2, 3, 4, 5, 6, 7, 8), "tie", "both_bad", "cannot_tell", (1, 2), (2, 1), (1, 1)
)  # fmt: skip
FULL = Annotation(
    "item 0", "gpt", 3, 12.25, "v2 of May", "judge", 0, 0, (1, 0), "better 中文\n", ("rude", "🙂"),
    "a 'quoted' comment", "0.3",
)  # fmt: skip


def test_what_goes_in_comes_out(store: Store) -> None:
    three = Item("three", Prompt.of("q"), ("a", "b", "c"))
    made, _ = project(store, [*(item(f"item {at}") for at in range(len(VERDICTS))), three])
    given = [Annotation(f"item {at}", "ann", verdict) for at, verdict in enumerate(VERDICTS)]
    given += [
        FULL,
        replace(FULL, occasion=2, verdict=8),
        replace(FULL, revision=3, verdict="tie"),
        Annotation("three", "sim", (2, 1, 2), 0.1, order=(2, 0, 1), source="simulated"),
    ]
    with store.write() as session:
        assert said_of.add(session, made.id, given) == Added(len(given), 0)
        assert said_of.add(session, made.id, given[::-1]) == Added(0, len(given))
    with store.read() as session:
        assert said_of.read_all(session, made.id, history=True) == given
        assert said_of.read_all(session, made.id) == [each for each in given if each != FULL]
        found = {member.name: member.source for member in members.listing(session)}
    assert found == {"ann": "people", "bob": "people", "gpt": "judge", "sim": "simulated"}


def test_many_at_once(store: Store) -> None:
    made, _ = project(store, 600, per_item=2)
    given = [Annotation(f"item {at}", f"p{who}", 1 + at % 8) for at in range(600) for who in "ab"]
    with store.write() as session:
        assert said_of.add(session, made.id, given[:300]) == Added(300, 0)
        assert said_of.add(session, made.id, given) == Added(900, 300)
    with store.read() as session:
        assert said_of.read_all(session, made.id) == given


@pytest.mark.parametrize(
    "bad",
    [
        replace(FULL, item="nothing"), replace(FULL, item=""), replace(FULL, annotator=""),
        replace(FULL, rewrite="x" * 40_001), replace(FULL, rewrite="a\x00b"),
        replace(FULL, comment="\ud83d"), replace(FULL, comment="x" * 8_001),
        replace(FULL, tags=("x" * 101,)), replace(FULL, tags=("",)), replace(FULL, ui="x" * 201),
        replace(FULL, tags=("t",) * 31), replace(FULL, tags="rude"),  # type: ignore[arg-type]
        replace(FULL, seconds=-1), replace(FULL, seconds=math.nan), replace(FULL, source="\x00"),
        replace(FULL, seconds=math.inf), replace(FULL, occasion=-1), replace(FULL, revision=-1),
        replace(FULL, verdict=(1, 2, 3), order=(0, 1, 2)), replace(FULL, annotator="x" * 101),
        replace(FULL, item="item 1", source="people"),
    ],
)  # fmt: skip
def test_nothing_is_added_when_one_is_wrong(store: Store, bad: Annotation) -> None:
    made, _ = project(store)
    with pytest.raises(ValueError, match=r"\w"), store.write() as session:
        said_of.add(session, made.id, [FULL, bad])
    with store.read() as session:
        assert said_of.read_all(session, made.id) == []
        assert members.find(session, "gpt") is None


def test_a_key_has_one_content(store: Store) -> None:
    made, _ = project(store)
    with store.write() as session:
        said_of.add(session, made.id, [FULL])
        for again in ([replace(FULL, verdict=4)], [replace(FULL, seconds=1.0)]):
            with pytest.raises(ValueError, match=r"'item 0' by 'gpt'.*there already"):
                said_of.add(session, made.id, again)
        twice = [replace(FULL, occasion=1), replace(FULL, occasion=1, comment="")]
        with pytest.raises(ValueError, match="comes twice"):
            said_of.add(session, made.id, twice)
        assert said_of.read_all(session, made.id) == [FULL]


def test_labels_by_people_count_and_those_of_machines_come_beside(store: Store) -> None:
    made, (ann, bob) = project(store, 2, per_item=2)
    with store.write() as session:
        said_of.add(session, made.id, [
            FULL, replace(FULL, annotator="other", source="simulated"),
            Annotation("item 0", "ann", 3, source="people"),
            Annotation("item 0", "cleo", 3, source="people"),
            Annotation("item 0", "dora", 3, source="people"),
        ])  # fmt: skip
        assert progress(session, made, ann).done == 2
        assert progress(session, made, ann).mine == 1
        assert progress(session, made, bob).left == 1
        for person in (ann, bob):
            task = next_task(session, made, person)
            assert task is not None
            assert task.item.id == "item 1"
            submit(session, made, person, task.lease, Answer(3), key="k")
            assert next_task(session, made, person) is None
        assert len(said_of.read_all(session, made.id)) == 7
        assert progress(session, made, bob).done == 4


def test_an_import_fills_the_lease_its_annotator_holds(store: Store) -> None:
    made, (ann, _) = project(store, 1)
    with store.write() as session:
        task = next_task(session, made, ann)
        assert task is not None
        said_of.add(session, made.id, [Annotation("item 0", "ann", 3, source="people")])
        assert progress(session, made, ann).done == 1
        with pytest.raises(LeaseLost, match="answered"):
            submit(session, made, ann, task.lease, Answer(5), key="k")


def test_imported_gold_labels(store: Store) -> None:
    made, (ann, _) = project(store, 1, gold=1, gold_rate=1.0)
    with store.write() as session:
        said_of.add(session, made.id, [Annotation("gold 0", "ann", 2, source="people")])
        task = next_task(session, made, ann)
        assert task is not None
        assert task.item.id == "item 0"


def labelled(store: Store) -> None:
    """Two labels by ann and bob, a free slot, and an import."""
    made, people = project(store, 2, per_item=2)
    with store.write() as session:
        for person in people:
            task = next_task(session, made, person)
            assert task is not None
            submit(session, made, person, task.lease, Answer(3), key="k")
        said_of.add(session, made.id, [FULL])


SLOT = (
    "INSERT INTO slot (handle, project_id, item_id, kind, place, occasion, member_id, leased_until,"
)
FORBIDDEN = {
    "update": "UPDATE annotation SET grade = 4",
    "delete": "DELETE FROM annotation",
    "grade 9": "INSERT INTO annotation {columns} SELECT {other}, 9, NULL FROM annotation",
    "grade 0": "INSERT INTO annotation {columns} SELECT {other}, 0, NULL FROM annotation",
    "no verdict": "INSERT INTO annotation {columns} SELECT {other}, NULL, NULL FROM annotation",
    "two verdicts": "INSERT INTO annotation {columns} SELECT {other}, 1, 'tie' FROM annotation",
    "undecided": "INSERT INTO annotation {columns} SELECT {other}, NULL, 'eh' FROM annotation",
    "same revision": "INSERT INTO annotation {columns} SELECT {same}, 1, NULL FROM annotation",
    "not the slot's member": "INSERT INTO annotation {columns}"
    " SELECT slot_id, member_id % 2 + 1, revision + 1, {rest}, 1, NULL FROM annotation",
    "give a labelled slot away": "UPDATE slot SET member_id = 3 - member_id WHERE kind = 'wanted'"
    " AND member_id IS NOT NULL",
    "free a labelled slot": "UPDATE slot SET member_id = NULL, done_at = NULL, leased_until = NULL"
    " WHERE member_id IS NOT NULL",
    "remove a labelled slot": "DELETE FROM slot WHERE done_at IS NOT NULL",
    "another slot at the same place": SLOT
    + " done_at, priority, rank) SELECT handle || 'x', project_id, item_id, 'wanted', place, 0,"
    " NULL, NULL, NULL, 0, 0 FROM slot WHERE member_id IS NULL",
    "the same item again": SLOT
    + " done_at, shown, priority, rank) SELECT handle || 'x', project_id, item_id, 'extra', NULL,"
    " 0, member_id, NULL, done_at, shown, 0, 0 FROM slot"
    " WHERE kind = 'wanted' AND member_id IS NOT NULL",
    "done without a member": "UPDATE slot SET done_at = '2030-01-01' WHERE member_id IS NULL",
    "a member without a lease": "UPDATE slot SET member_id = 1 WHERE member_id IS NULL",
    "a repeat on occasion 0": "UPDATE slot SET kind = 'repeat', place = NULL"
    " WHERE done_at IS NOT NULL",
    "no such kind": "UPDATE slot SET kind = 'free'",
    "no whole grade": "INSERT INTO annotation {columns} SELECT {other}, 8.5, NULL FROM annotation",
    "a grade of three answers": "INSERT INTO annotation {columns} SELECT slot_id, member_id,"
    " revision + 1, '[0, 1, 2]', {after_shown}, 1, NULL FROM annotation",
    "no order of answers": "INSERT INTO annotation {columns} SELECT slot_id, member_id,"
    " revision + 1, '\"x\"', {after_shown}, NULL, 'tie' FROM annotation",
    "no ranking": "INSERT INTO annotation {ranked} SELECT {other}, 'null' FROM annotation",
    "no ranking but a text": "INSERT INTO annotation {ranked} SELECT {other}, '\"x\"'"
    " FROM annotation",
    "a label of another item": "UPDATE slot SET item_id = 3 - item_id, place = 9 - place",
    "a label of another occasion": "UPDATE slot SET occasion = 1, kind = 'repeat', place = NULL"
    " WHERE kind = 'extra'",
    "a place below 0": "UPDATE slot SET place = -1 WHERE id = 1",
    "a priority that is no number": "UPDATE slot SET priority = {nan}",
}
AFTER_SHOWN = "seconds, guideline, source, rewrite, tags, comment, ui, created"
REST = f"shown, {AFTER_SHOWN}"
PARTS = {
    "nan": "'NaN'",
    "after_shown": AFTER_SHOWN,
    "ranked": f"(slot_id, member_id, revision, {REST}, ranking)",
    "columns": f"(slot_id, member_id, revision, {REST}, grade, undecided)",
    "other": f"slot_id, member_id, revision + 1, {REST}",
    "same": f"slot_id, member_id, revision, {REST}",
    "rest": REST,
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_database_forbids(store: Store, what: str) -> None:
    labelled(store)
    forbids = r"(?i)constraint|rows are added, never changed"
    with pytest.raises(DBAPIError, match=forbids), store.write() as session:
        session.execute(text(FORBIDDEN[what].format(**PARTS)))


def test_postgres_forbids_truncating(store: Store, kind: str) -> None:
    if kind == "sqlite":
        return
    labelled(store)
    with pytest.raises(DBAPIError, match="never changed"), store.write() as session:
        session.execute(text("TRUNCATE annotation"))


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT OR REPLACE INTO annotation SELECT id, slot_id, member_id, revision, 8, NULL, NULL,"
        " {after} FROM annotation",
        "INSERT OR REPLACE INTO annotation SELECT 99, slot_id, member_id, revision, 8, NULL, NULL,"
        " {after} FROM annotation",
        "INSERT OR REPLACE INTO answer SELECT item_id, place, 'other', model FROM answer",
        "INSERT OR REPLACE INTO guideline SELECT project_id, version, 'other', created"
        " FROM guideline",
        "INSERT OR REPLACE INTO item (id, project_id, name, prompt, messages, family, split, size,"
        " priority, rank, digest) SELECT id, project_id, name, 'other', messages, family, split,"
        " size, priority, rank, digest FROM item",
    ],
)
def test_sqlite_replaces_nothing(store: Store, kind: str, statement: str) -> None:
    """OR REPLACE deletes what was there, unseen by the triggers that forbid deleting."""
    if kind == "postgres":
        return
    labelled(store)
    with store.write() as session:
        guidelines.publish(session, 1, "one")
        before = said_of.read_all(session, 1, history=True)
    after = f"{REST.removesuffix(', created')}, key, created"
    with pytest.raises(DBAPIError, match="never change"), store.write() as session:
        session.execute(text(statement.format(after=after)))
    with store.read() as session:
        assert said_of.read_all(session, 1, history=True) == before


@pytest.mark.parametrize("seconds", ["-1.0", PARTS["nan"], "'Infinity'"])
def test_a_time_that_is_none_is_forbidden(store: Store, seconds: str) -> None:
    labelled(store)
    columns: dict[str, Any] = {**PARTS, "other": PARTS["other"].replace("seconds", seconds)}
    statement = "INSERT INTO annotation {columns} SELECT {other}, 1, NULL FROM annotation"
    with pytest.raises(DBAPIError, match=r"(?i)constraint"), store.write() as session:
        session.execute(text(statement.format(**columns)))


def test_a_label_more_costs_the_same_however_many_there_are(tmp_path: Path) -> None:
    """Steps of SQLite's machine for one more item with its label, as a server posts feedback."""
    store = Store.open(tmp_path / "feedback.db")
    made, (person, _) = project(store, 0)

    def steps(first: int, count: int) -> int:
        taken = []
        with store.write() as session:
            raw: Any = session.connection().connection.dbapi_connection
            raw.set_progress_handler(lambda: taken.append(1), 10)
            items.add(session, made.id, [item(f"item {at}") for at in range(first, first + count)])
            said = [Annotation(f"item {at}", "ann", 3) for at in range(first, first + count)]
            said_of.add(session, made.id, said)
            assert said_of.last_of(session, made.id, f"item {first}", person) == said[0]
            raw.set_progress_handler(None, 10)
        return len(taken)

    few = [steps(at, 1) for at in range(20)][-1]
    steps(20, 2000)
    assert few > 10  # it counts
    assert steps(3000, 1) < 1.2 * few
    with store.read() as session:
        assert len(said_of.read_all(session, made.id)) == 2021
        row = session.execute(select(ProjectRow.ordinary, ProjectRow.wanted)).one()
        assert tuple(row) == (2021, 2021)
    store.close()
