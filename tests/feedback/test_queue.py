"""The queue: who is asked what, and what becomes of late, doubled and corrected answers."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from labelling import LATER, NOW, all_said, done, draw, item, label, label_all, project, say

from heed.feedback import queue
from heed.feedback.queue import Answer, LeaseLost, NotYours, Progress, Task
from heed.store import guidelines, projects
from heed.store.database import Store
from heed.types import Annotation, Item, Prompt


def test_every_item_gets_its_labels_from_different_people(store: Store) -> None:
    made, people = project(store, 5, people=("a", "b", "c"), per_item=2)
    said = label_all(store, made, people)
    assert Counter(each.item for each in said) == {f"item {at}": 2 for at in range(5)}
    assert len({(each.item, each.annotator) for each in said}) == 10
    assert all_said(store, made) == said
    for person in people:
        progress = done(store, made, person)
        assert (progress.done, progress.left, progress.wanted) == (10, 0, 10)


def test_what_is_written_down(store: Store) -> None:
    made, (ann, _) = project(store, 1)
    with store.write() as session:
        guidelines.publish(session, made.id, "one")
        guidelines.publish(session, made.id, "two")
    task = draw(store, made, ann)
    assert task == Task(task.lease, item("item 0"), task.order, 0, task.expires, None, "")
    assert task.expires == NOW + timedelta(seconds=900)
    answer = Answer((2, 1), 4.5, "better", ("a", "b"), "why", "0.1")
    with store.write() as session:
        said = queue.submit(session, made, ann, task.lease, answer, key="k", now=NOW)
    assert said == Annotation(
        "item 0", "ann", (2, 1), 4.5, "2", "people", 0, 0, task.order, "better", ("a", "b"), "why",
        "0.1",
    )  # fmt: skip
    assert all_said(store, made) == [said]


def test_a_held_lease_is_renewed_with_the_same_sides(store: Store) -> None:
    made, (ann, bob) = project(store, 2)
    first = draw(store, made, ann)
    again = draw(store, made, ann, now=NOW + timedelta(seconds=800))
    assert again == replace(first, expires=NOW + timedelta(seconds=1700))
    other = draw(store, made, bob, now=NOW + timedelta(seconds=1600))
    assert other.item != first.item


def test_fetching_ahead_holds_leases_too_and_three_at_most(store: Store) -> None:
    made, (ann, bob) = project(store, 4)
    held: list[Task] = []
    for _ in range(queue.OPEN_LEASES):
        held.append(draw(store, made, ann, beside=[task.lease for task in held]))
    assert len({task.item.id for task in held}) == 3
    beside = [task.lease for task in held]
    with store.write() as session:
        assert queue.next_task(session, made, ann, beside=beside, now=NOW) is None
        assert queue.next_task(session, made, ann, beside=beside, now=LATER) is None
    assert done(store, made, bob).left == 1
    assert done(store, made, ann).left == 4
    assert draw(store, made, ann, beside=beside[1:]).lease == beside[0]
    assert draw(store, made, bob).item.id not in {task.item.id for task in held}
    say(store, made, ann, held[0])
    with store.write() as session:
        assert queue.next_task(session, made, ann, beside=beside[1:], now=NOW) is None


def test_an_expired_lease_goes_to_someone_else_and_the_late_answer_is_told(store: Store) -> None:
    made, (ann, bob) = project(store, 1)
    task = draw(store, made, ann)
    with store.write() as session:
        assert queue.next_task(session, made, bob, now=NOW + timedelta(seconds=899)) is None
    given = draw(store, made, bob, now=NOW + timedelta(seconds=900))
    assert given.lease == task.lease
    for _ in range(2):
        with pytest.raises(LeaseLost, match="someone else"):
            say(store, made, ann, task)
        with pytest.raises(LeaseLost), store.write() as session:
            queue.save_draft(session, ann, task.lease, "x")
    say(store, made, bob, given)
    with pytest.raises(LeaseLost):
        say(store, made, ann, task, now=LATER)
    assert [each.annotator for each in all_said(store, made)] == ["bob"]


def test_an_expired_lease_that_nobody_took_is_good(store: Store) -> None:
    made, (ann, bob) = project(store, 1)
    task = draw(store, made, ann)
    say(store, made, ann, task, now=LATER)
    assert done(store, made, bob).done == 1
    with store.write() as session:
        assert queue.next_task(session, made, bob, now=LATER) is None


def test_an_expired_lease_is_still_the_members_first(store: Store) -> None:
    made, (ann, _) = project(store, 3)
    task = draw(store, made, ann)
    assert draw(store, made, ann, now=LATER).lease == task.lease


def test_the_oldest_expired_lease_goes_first(store: Store) -> None:
    made, (a, b, c) = project(store, 4, people=("a", "b", "c"))
    old, new = draw(store, made, a), draw(store, made, b, now=NOW + timedelta(seconds=60))
    first = draw(store, made, c, now=LATER)
    second = draw(store, made, c, now=LATER, beside=[first.lease])
    assert [first.lease, second.lease] == [old.lease, new.lease]


def test_the_same_key_is_the_same_answer(store: Store) -> None:
    made, (ann, bob) = project(store, 2)
    task = draw(store, made, ann)
    said = say(store, made, ann, task, key="k")
    assert say(store, made, ann, task, key="k", now=LATER) == said
    other = draw(store, made, ann)
    for wrong in ({"task": task, "verdict": 4}, {"task": other}):
        with pytest.raises(ValueError, match="idempotency"):
            say(store, made, ann, **{"key": "k", **wrong})
    with pytest.raises(LeaseLost, match="answered already"):
        say(store, made, ann, task, key="another")
    say(store, made, ann, other, key="l")
    say(store, made, ann, task, key="k")
    assert len(all_said(store, made, history=True)) == 2
    assert done(store, made, bob).done == 2


def test_the_same_key_after_a_restart(store: Store, kind: str) -> None:
    made, (ann, _) = project(store, 1)
    task = draw(store, made, ann)
    said = say(store, made, ann, task, key="k")
    address = store._url.database if kind == "sqlite" else store._url.render_as_string(False)
    store.close()
    again = Store.open(str(address))
    assert say(again, made, ann, task, key="k") == said
    assert all_said(again, made) == [said]
    again.close()


def test_keys_belong_to_their_member(store: Store) -> None:
    made, (ann, bob) = project(store, 1, per_item=2)
    for person in (ann, bob):
        say(store, made, person, draw(store, made, person), key="same")
    assert len(all_said(store, made)) == 2


def test_nothing_takes_longer_than_it_was_out(store: Store) -> None:
    made, (ann, _) = project(store, 2)
    task = draw(store, made, ann)
    later = NOW + timedelta(seconds=20)
    draw(store, made, ann, now=later)  # renewed, but out since before
    for _ in range(2):
        with store.write() as session:
            answer = Answer(3, 1e9)
            said = queue.submit(
                session, made, ann, task.lease, answer, key="k", now=later + timedelta(seconds=5)
            )
        assert said.seconds == 25 + queue.MARGIN
    short = draw(store, made, ann)
    with store.write() as session:
        said = queue.submit(session, made, ann, short.lease, Answer(3, 7.5), key="l", now=LATER)
    assert said.seconds == 7.5


@pytest.mark.parametrize("key", ["", "x" * 201, "\x00", "\ud800"])
def test_keys_that_are_no_good(store: Store, key: str) -> None:
    made, (ann, _) = project(store, 1)
    with pytest.raises(ValueError, match="idempotency key"):
        say(store, made, ann, draw(store, made, ann), key=key)


@pytest.mark.parametrize(
    "wrong",
    [
        Answer(0), Answer(9), Answer((1,)), Answer((1, 2, 3)), Answer((0, 1)), Answer((2, 2)),
        Answer("maybe"), Answer(True), Answer(3, -1.0), Answer(3, float("nan")),  # type: ignore[arg-type]
        Answer(3, rewrite="\x00"), Answer(3, rewrite="x" * 40_001), Answer(3, comment="\ud800"),
        Answer(3, tags=("x",) * 31), Answer(3, ui="x" * 201), Answer([1, 2]), Answer(3.0),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_answers_that_do_not_fit(store: Store, wrong: Answer) -> None:
    made, (ann, _) = project(store, 1)
    task = draw(store, made, ann)
    with pytest.raises(ValueError, match=r"\w"), store.write() as session:
        queue.submit(session, made, ann, task.lease, wrong, key="k", now=NOW)
    assert all_said(store, made) == []
    say(store, made, ann, task, key="k")


def test_rankings_of_three(store: Store) -> None:
    three = Item("three", Prompt.of("q"), ("a", "b", "c"))
    made, (ann, _) = project(store, [three])
    task = draw(store, made, ann)
    assert sorted(task.order) == [0, 1, 2]
    with pytest.raises(ValueError, match="ranking"):
        say(store, made, ann, task, 3)
    assert say(store, made, ann, task, (1, 1, 3)).verdict == (1, 1, 3)


def test_tasks_of_others(store: Store) -> None:
    made, (ann, bob) = project(store, 2)
    coffee, _ = project(store, 1, name="coffee", people=())
    task = draw(store, made, ann)
    for lease in (task.lease, task.lease[::-1], "", "\x1f", "1", "\x00", "\ud800"):
        with pytest.raises(NotYours), store.write() as session:
            queue.submit(session, made, bob, lease, Answer(3), key="k", now=NOW)
        with pytest.raises(NotYours), store.write() as session:
            queue.release(session, made, bob, lease, NOW)
        with pytest.raises(NotYours), store.write() as session:
            queue.save_draft(session, bob, lease, "x", NOW)
    with pytest.raises(NotYours):
        say(store, coffee, ann, task)
    with store.write() as session, pytest.raises(ValueError, match="no member"):
        queue.next_task(session, made, 99)
    with store.write() as session, pytest.raises(ValueError, match="no project"):
        queue.next_task(session, replace(made, id=99), ann)


def test_undo_opens_the_last_answer_and_the_next_supersedes_it(store: Store) -> None:
    made, (ann, bob) = project(store, 3)
    said = [say(store, made, ann, draw(store, made, ann), verdict) for verdict in (1, 2)]
    fetched = draw(store, made, ann)
    with store.write() as session:
        task = queue.undo(session, made, ann, NOW)
    assert task is not None
    assert (task.earlier, task.order) == (said[1], said[1].order)
    assert all_said(store, made) == said
    assert draw(store, made, ann).lease == task.lease
    assert draw(store, made, ann, beside=[task.lease]).lease == fetched.lease
    new = say(store, made, ann, task, 8, key="again")
    assert new == replace(said[1], verdict=8, revision=1)
    assert all_said(store, made) == [said[0], new]
    assert all_said(store, made, history=True) == [*said, new]
    assert done(store, made, ann) == Progress(2, 1, 2, 3)
    with store.write() as session:
        assert queue.next_task(session, made, bob, now=LATER) is not None


def test_undo_goes_back_step_by_step(store: Store) -> None:
    made, (ann, bob) = project(store, 5)
    said = [label(store, made, ann) for _ in range(3)]
    held = [draw(store, made, ann)]
    held.append(draw(store, made, ann, beside=[held[0].lease]))
    for earlier in said[::-1]:
        with store.write() as session:
            task = queue.undo(session, made, ann, NOW)
        assert task is not None
        assert task.earlier == earlier
    with store.write() as session:
        assert queue.undo(session, made, ann, NOW) is None
        assert queue.undo(session, made, bob, NOW) is None


def test_a_reopened_label_stays_its_members(store: Store) -> None:
    made, (ann, bob) = project(store, 1)
    label(store, made, ann)
    with store.write() as session:
        task = queue.undo(session, made, ann, NOW)
        assert task is not None
        assert queue.next_task(session, made, bob, now=LATER) is None
        queue.release(session, made, ann, task.lease, NOW)
        assert queue.next_task(session, made, ann, now=NOW) is None
    with pytest.raises(LeaseLost, match="answered"):
        say(store, made, ann, task, key="x")


def test_the_last_answer_is_the_last_one_said(store: Store) -> None:
    made, (ann, _) = project(store, 3)
    label(store, made, ann)
    with store.write() as session:
        first = queue.undo(session, made, ann, NOW)
    assert first is not None
    say(store, made, ann, draw(store, made, ann, beside=[first.lease]))
    again = say(store, made, ann, first, 5)
    with store.write() as session:
        task = queue.undo(session, made, ann, NOW)
    assert task is not None
    assert task.earlier == again


def test_releasing(store: Store) -> None:
    made, (ann, bob) = project(store, 1)
    task = draw(store, made, ann)
    with store.write() as session:
        queue.save_draft(session, ann, task.lease, "half a", NOW)
        queue.release(session, made, ann, task.lease, NOW)
    with pytest.raises(LeaseLost):
        say(store, made, ann, task)
    assert draw(store, made, ann).draft == "half a"
    with store.write() as session:
        queue.release(session, made, ann, task.lease, NOW)
    given = draw(store, made, bob)
    assert (given.lease, given.draft) == (task.lease, "")


def test_a_released_gold_item_stays_its_members(store: Store) -> None:
    made, (ann, _) = project(store, 1, gold=1, gold_rate=1.0)
    task = draw(store, made, ann)
    assert task.item.known is not None
    with store.write() as session:
        queue.release(session, made, ann, task.lease, NOW)
    assert draw(store, made, ann).lease == task.lease


def test_drafts(store: Store) -> None:
    made, (ann, bob) = project(store, 1, per_item=2)
    task, other = draw(store, made, ann), draw(store, made, bob)
    for text in ("a", "a 'draft' \u2028 中文", ""):
        with store.write() as session:
            queue.save_draft(session, ann, task.lease, text, NOW)
        assert draw(store, made, ann).draft == text
        assert draw(store, made, bob).draft == ""
    assert other.item == task.item
    for wrong in ("\x00", "\ud800", "x" * 40_001):
        with store.write() as session, pytest.raises(ValueError, match="a draft"):
            queue.save_draft(session, ann, task.lease, wrong, NOW)
    with store.write() as session:
        queue.save_draft(session, ann, task.lease, "text", NOW)
    say(store, made, ann, task)
    with pytest.raises(LeaseLost, match="answered"), store.write() as session:
        queue.save_draft(session, ann, task.lease, "late", NOW)
    with store.write() as session:
        again = queue.undo(session, made, ann, NOW)
    assert again is not None
    assert again.draft == ""


def test_whoever_writes_keeps_the_lease(store: Store) -> None:
    made, (ann, bob) = project(store, 1)
    task = draw(store, made, ann)
    with store.write() as session:
        queue.save_draft(session, ann, task.lease, "long", NOW + timedelta(seconds=600))
        late = NOW + timedelta(seconds=1499)
        assert queue.next_task(session, made, bob, now=late) is None


def test_progress(store: Store) -> None:
    made, (ann, bob) = project(store, 4, gold=2, per_item=2)
    assert done(store, made, ann) == Progress(0, 4, 0, 8)
    label(store, made, ann)
    assert done(store, made, ann) == Progress(1, 3, 1, 8)
    assert done(store, made, bob) == Progress(1, 4, 0, 8)
    label_all(store, made, [ann])
    assert done(store, made, ann) == Progress(4, 0, 4, 8)
    assert done(store, made, bob) == Progress(4, 4, 0, 8)


def test_progress_of_a_large_project(store: Store) -> None:
    made, (ann, bob) = project(store, 200, per_item=2)
    for _ in range(3):
        label(store, made, ann)
    assert done(store, made, ann) == Progress(3, 197, 3, 400)
    assert done(store, made, bob) == Progress(3, 200, 0, 400)


def test_more_labels_wanted_later(store: Store) -> None:
    made, (ann, bob) = project(store, 2)
    label_all(store, made, [ann])
    with store.write() as session:
        assert queue.next_task(session, made, bob, now=NOW) is None
        more = projects.change(session, made.id, replace(made.settings, per_item=2))
        assert queue.next_task(session, more, ann, now=NOW) is None
    assert len(label_all(store, more, [bob])) == 2


def test_a_member_with_many_tabs_draws_one_task_each(store: Store) -> None:
    """The same member asks from eight threads at once: one lease, three with prefetching."""
    made, (ann, _) = project(store, 10)
    found: list[str | None] = []

    def ask() -> None:
        with store.write() as session:
            task = queue.next_task(session, made, ann)
        found.append(None if task is None else task.lease)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
