"""Which items the queue draws: by priority, at random, gold ones and repeats, on which sides."""

from __future__ import annotations

import math
import threading
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from labelling import NOW, done, draw, item, label, label_all, project

from heed.feedback import queue
from heed.feedback.queue import Progress, next_task
from heed.store import items, leases, projects, standings
from heed.store.database import Store
from heed.types import Annotation


def test_items_by_priority(store: Store) -> None:
    many = [item(f"{at}", priority=float(at % 7)) for at in range(20)]
    made, (ann, bob) = project(store, many, order="disagreement", per_item=2)
    ranks = {each.id: each.priority for each in many}
    said = [label(store, made, ann) for _ in range(8)]
    order = [ranks[each.item] for each in said if each is not None]
    assert order == sorted(ranks.values(), reverse=True)[:8]
    with store.write() as session:
        items.set_priorities(session, made.id, {"0": 99.0, "7": 50.0})
    assert [draw(store, made, person).item.id for person in (ann, bob)] == ["0", "0"]


def test_items_in_random_order(store: Store) -> None:
    made, (ann, bob) = project(store, 15, per_item=2)
    orders = [[each.item for each in label_all(store, made, [person])] for person in (ann, bob)]
    assert orders[0] == orders[1] != sorted(orders[0])
    other, _ = project(store, 15, name="other", people=("cleo",), seed=1)
    again, _ = project(store, 15, name="again", people=())
    assert [each.item for each in label_all(store, again, [ann])] == orders[0]
    assert [each.item for each in label_all(store, other, [bob])] != orders[0]


def test_a_mixed_order(store: Store) -> None:
    many = [item(f"{at:03}", priority=float(at)) for at in range(80)]
    made, (ann, _) = project(store, many, order="mixed")
    said = [each.item for _ in range(40) if (each := label(store, made, ann)) is not None]
    top = [f"{at:03}" for at in range(79, 39, -1)]
    by_priority = sum(each in top[:20] for each in said)
    assert 12 <= by_priority < 38
    assert len(set(said)) == 40


def test_what_is_free_again_behind_the_walk_is_not_forgotten(store: Store) -> None:
    for order in ("random", "disagreement"):
        many = [item(f"{at}", priority=float(at)) for at in range(6)]
        made, (ann, bob) = project(
            store, many, order=order, name=order, people=(f"{order} a", f"{order} b")
        )
        held = [draw(store, made, ann)]
        held.append(draw(store, made, ann, beside=[held[0].lease]))
        said = [label(store, made, bob) for _ in range(2)]
        with store.write() as session:
            for task in held:
                queue.release(session, made, ann, task.lease, NOW)
        said += label_all(store, made, [bob])
        assert len({each.item for each in said if each is not None}) == 6


def test_gold_items_at_their_rate_and_once_a_member(store: Store) -> None:
    made, people = project(store, 60, gold=20, gold_rate=0.25, per_item=2)
    said = [each for person in people for _ in range(50) if (each := label(store, made, person))]
    gold = Counter((each.annotator, each.item) for each in said if each.item.startswith("gold"))
    assert set(gold.values()) == {1}
    share = {who: sum(1 for name, _ in gold if name == who) for who in ("ann", "bob")}
    assert all(6 <= count <= 20 for count in share.values())
    assert {each.occasion for each in said} == {0}
    first = [[each.item for each in said if (each.annotator, each.item) in gold and
              each.annotator == who] for who in share]  # fmt: skip
    assert first[0] != first[1]


def test_gold_only(store: Store) -> None:
    made, people = project(store, 0, gold=5, gold_rate=1.0)
    said = label_all(store, made, people)
    assert Counter(each.annotator for each in said) == {"ann": 5, "bob": 5}
    assert done(store, made, people[0]) == Progress(0, 0, 5, 0)


def test_no_gold_once_nothing_is_wanted(store: Store) -> None:
    """Who comes late is not paid for measuring alone."""
    made, people = project(store, 4, gold=30, gold_rate=0.9)
    label_all(store, made, people[:1])
    with store.write() as session:
        assert next_task(session, made, people[1]) is None


def test_without_a_rate_no_gold(store: Store) -> None:
    made, people = project(store, 3, gold=5)
    assert not any(each.item.startswith("gold") for each in label_all(store, made, people))


def test_planned_repeats(store: Store) -> None:
    made, (ann, _) = project(store, 90, repeat_rate=0.3, gold=10, gold_rate=0.1)
    said = [each for _ in range(100) if (each := label(store, made, ann)) is not None]
    first = {each.item: at for at, each in enumerate(said) if not each.occasion}
    again = {each.item: at for at, each in enumerate(said) if each.occasion}
    assert {each.occasion for each in said} == {0, 1}
    assert len(again) == sum(each.occasion for each in said)
    assert 15 <= len(again) <= 40
    assert all(at - first[name] >= queue.REPEAT_AFTER for name, at in again.items())
    assert not any(name.startswith("gold") for name in again)
    turned = sum(said[at].order != said[first[name]].order for name, at in again.items())
    assert 0.25 < turned / len(again) < 0.75


def test_sides_are_drawn_evenly(store: Store) -> None:
    made, people = project(store, 50, per_item=2)
    said = label_all(store, made, people)
    assert 33 <= sum(each.order == (0, 1) for each in said) <= 67
    by_item: dict[str, set[tuple[int, ...]]] = {}
    for each in said:
        by_item.setdefault(each.item, set()).add(each.order)
    assert 13 <= sum(len(orders) == 2 for orders in by_item.values()) <= 37


def test_draws_depend_on_nothing_but_the_store(store: Store, kind: str, tmp_path: Any) -> None:
    """The same steps with the store opened anew on the way draw the same tasks."""
    settings = {"gold": 8, "gold_rate": 0.2, "repeat_rate": 0.2, "order": "mixed", "seed": 7}
    made, people = project(store, 20, per_item=2, **settings)
    one = label_all(store, made, people)
    path = tmp_path / "other.db"
    other = Store.open(path)
    copied, _ = project(other, 20, per_item=2, **settings)
    two: list[Annotation] = []
    waiting = list(people)
    while waiting:
        other.close()
        other = Store.open(path)
        for person in list(waiting):
            said = label(other, copied, person)
            two += [] if said is None else [said]
            if said is None:
                waiting.remove(person)
    other.close()
    assert sorted(map(repr, one)) == sorted(map(repr, two))


@pytest.mark.parametrize("order", ["disagreement", "mixed"])
def test_what_comes_later_with_a_higher_priority_comes_next(store: Store, order: str) -> None:
    """Ann's walk is past that priority already; the mixed order takes it at one of its next."""
    many = [item(f"{at}", priority=float(at)) for at in range(30)]
    made, (ann, _) = project(store, many, order=order)
    for _ in range(6):
        label(store, made, ann)
    with store.write() as session:
        items.add(session, made.id, [item("low", priority=-1.0), item("new", priority=99.0)])
    soon = 1 if order == "disagreement" else 8
    said = [each.item for _ in range(soon) if (each := label(store, made, ann)) is not None]
    assert "new" in said
    assert "low" not in said


def test_more_labels_an_item_are_wanted_in_order_of_priority(store: Store) -> None:
    many = [item(f"{at}", priority=float(at)) for at in range(10)]
    made, (ann, bob) = project(store, many, order="disagreement")
    for person in (ann, ann, ann, bob, bob):
        label(store, made, person)
    with store.write() as session:
        more = projects.change(session, made.id, replace(made.settings, per_item=2))
    said = [label(store, more, bob) for _ in range(5)]
    assert [each.item for each in said if each is not None] == ["9", "8", "7", "4", "3"]


def test_who_labels_need_not_wait_for_an_import_of_no_higher_priority(store: Store) -> None:
    """On PostgreSQL an import holds nobody's standing; on SQLite there is one writer anyhow."""
    many = [item(f"{at}", priority=1.0) for at in range(4)]
    made, (ann, _) = project(store, many, order="disagreement")
    label(store, made, ann)
    if store._sqlite:
        return
    with store.write() as importing:
        items.add(importing, made.id, [item("more"), item("yet more", priority=1.0)])
        asking = threading.Thread(target=label, args=(store, made, ann))
        asking.start()
        asking.join(5)
        assert not asking.is_alive()


@pytest.mark.parametrize("order", ["random", "disagreement"])
def test_who_is_far_ahead_is_measured_as_quickly(store: Store, order: str) -> None:
    """Whether anything is left is asked from where the walk stands, not over all that was met."""
    many = [item(f"{at}", priority=float(at)) for at in range(40)]
    made, (ann, _) = project(
        store, many, gold=9, gold_rate=0.5, per_item=2, order=order, repeat_rate=0.1
    )
    for _ in range(30):
        label(store, made, ann)
    walks: list[Any] = []

    def watch(session: Any, walk: Any, whose: Any, start: Any, first: float) -> Any:
        walks.append((start, first))
        return found(session, walk, whose, start, first)

    found = leases._walk
    with pytest.MonkeyPatch.context() as patch, store.write() as session:
        patch.setattr(leases, "_walk", watch)
        standing = standings.lock(session, made.id, ann)
        assert not leases.all_given(session, made, ann, standing, NOW)
    assert walks == [
        (standing.priority_from, math.inf) if order == "disagreement" else (standing.rank_from, 0.0)
    ]
    assert walks[0][0] not in (None, 0.0)
