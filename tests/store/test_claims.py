"""Imports beside people who label: nobody loses a slot, nobody waits in a circle."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from labelling import LATER, NOW, all_said, draw, item, project, say
from sqlalchemy import select, update

from heed.feedback import queue
from heed.store import annotations, claims, items, leases, members, projects
from heed.store.database import Store
from heed.store.projects import Project
from heed.store.schema import SlotRow
from heed.types import Annotation

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def test_an_import_takes_no_slot_from_who_just_got_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While ann's old answer is imported, her lease, which ran out, is wanted by bob."""
    made, (ann, bob) = project(store, 1)
    draw(store, made, ann)
    given: list[queue.Task | None] = []

    def ask() -> None:
        with store.write() as session:
            given.append(queue.next_task(session, made, bob, now=LATER))

    asking = threading.Thread(target=ask)
    find_free = claims._free

    def meanwhile(*arguments: Any) -> Any:
        asking.start()
        asking.join(0.5)
        return find_free(*arguments)

    monkeypatch.setattr(claims, "_free", meanwhile)
    with store.write() as session:
        annotations.add(session, made.id, [Annotation("item 0", "ann", 3, source="people")])
    asking.join()
    assert given == [None]
    assert [said.annotator for said in all_said(store, made)] == ["ann"]


def fewer(store: Store, made: Project) -> None:
    with store.write() as session:
        projects.change(session, made.id, replace(made.settings, per_item=1))


def reprioritise(store: Store, made: Project) -> None:
    with store.write() as session:
        items.set_priorities(session, made.id, {"item 1": 1.0, "item 0": 2.0})


@pytest.mark.parametrize("who_first", [1, -1])
@pytest.mark.parametrize("change", [fewer, reprioritise])
def test_who_labels_and_who_changes_the_project_do_not_wait_for_each_other(
    store: Store, change: Callable[[Store, Project], None], who_first: int
) -> None:
    """Ann's slots stand in the other order by turn, and by item, than by id; a third transaction
    holds the first of them until both have come as far as they can.
    """
    names = sorted(["item 0", "item 1"], key=lambda name: items.chance(0, "rank", name))
    made, (ann, bob) = project(store, [item(name) for name in names])
    with store.write() as session:
        made = projects.change(session, made.id, replace(made.settings, per_item=2))
    draw(store, made, bob)
    held = [draw(store, made, ann)]
    held.append(draw(store, made, ann, beside=[held[0].lease]))
    with store.write() as session:
        mine = session.scalars(
            select(SlotRow.id).where(SlotRow.member_id == ann).order_by(SlotRow.id.desc())
        )
        for turn, id in enumerate(mine):
            session.execute(update(SlotRow).where(SlotRow.id == id).values(turn=turn))
    wrong: list[BaseException] = []

    def run(act: Callable[[], object]) -> None:
        try:
            act()
        except BaseException as error:
            wrong.append(error)

    acts: list[Callable[[], object]] = [
        lambda: change(store, made), lambda: draw(store, made, ann, now=NOW),
    ]  # fmt: skip
    threads = [threading.Thread(target=run, args=(act,)) for act in acts[::who_first]]
    with store.write() as session:
        slots = select(SlotRow.id).where(SlotRow.member_id == ann).order_by(SlotRow.id)
        session.execute(slots.limit(1).with_for_update())
        for thread in threads:
            thread.start()
            time.sleep(0.3)
    for thread in threads:
        thread.join()
    assert wrong == []
    for task in held:
        say(store, made, ann, task)


def test_what_a_member_holds_comes_in_the_order_it_was_given(store: Store) -> None:
    made, (ann, _) = project(store, 9)
    given: list[str] = []
    for _ in range(3):
        given.append(draw(store, made, ann, beside=given).lease)
    with store.write() as session:
        assert [slot.handle for slot in leases.open_slots(session, made.id, ann)] == given


def test_an_import_takes_over_a_lease_that_ran_out(store: Store) -> None:
    """Ann opened the page once and went away: her item gets no label too many."""
    made, (ann, bob) = project(store, 1)
    task = draw(store, made, ann, now=LONG_AGO)
    with store.write() as session:
        annotations.add(session, made.id, [Annotation("item 0", "zed", 3, source="people")])
        assert queue.progress(session, made, bob, NOW) == queue.Progress(1, 0, 0, 1)
        assert queue.next_task(session, made, bob, now=NOW) is None
    with pytest.raises(queue.LeaseLost, match="someone else"):
        say(store, made, ann, task)


def test_an_import_leaves_leases_alone_that_run_or_are_the_labels_own(store: Store) -> None:
    made, (ann, bob) = project(store, [item("one"), item("two")], per_item=2)
    old = draw(store, made, ann, now=LONG_AGO)
    with store.write() as session:
        new = queue.next_task(session, made, bob)
    assert new is not None
    assert new.item == old.item
    given = [Annotation(old.item.id, who, 3, source="people") for who in ("zed", "ann")]
    with store.write() as session:
        annotations.add(session, made.id, given)
    say(store, made, bob, new)
    assert {said.annotator for said in all_said(store, made)} == {"zed", "ann", "bob"}
    with store.read() as session:
        kinds = session.execute(select(SlotRow.kind, SlotRow.member_id)).all()
    assert sorted(kind for kind, member in kinds if member is not None) == [
        "extra", "wanted", "wanted",
    ]  # fmt: skip


@pytest.mark.parametrize("names", ["xy", "x"])
def test_two_imports_bring_the_same_new_people_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, names: str
) -> None:
    first, _ = project(store, 1, people=())
    second, _ = project(store, 1, people=(), name="coffee")
    enrol, wrong = members.enrol, []

    def slowly(*arguments: Any, **more: Any) -> Any:
        found = enrol(*arguments, **more)
        time.sleep(0.3)
        return found

    def bring(made: Project, annotators: str) -> None:
        said = [Annotation("item 0", name, 3, source="people") for name in annotators]
        try:
            with store.write() as session:
                annotations.add(session, made.id, said)
        except Exception as error:
            wrong.append(error)

    monkeypatch.setattr(members, "enrol", slowly)
    threads = [
        threading.Thread(target=bring, args=each)
        for each in ((first, names), (second, names[::-1]))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    for made in (first, second):
        assert {said.annotator for said in all_said(store, made)} == set(names)
