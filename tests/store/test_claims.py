"""Imports beside people who label: nobody loses a slot, nobody waits in a circle."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from labelling import LATER, NOW, all_said, draw, item, project, say
from sqlalchemy import select, update

from heed.feedback import queue
from heed.store import annotations, claims, items, leases, projects
from heed.store.database import Store
from heed.store.projects import Project
from heed.store.schema import SlotRow
from heed.types import Annotation


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
