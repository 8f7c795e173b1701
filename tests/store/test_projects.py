"""Projects and guidelines."""

from __future__ import annotations

import math
from typing import Any

import pytest
from labelling import project
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from heed.feedback.queue import Answer, next_task, progress, submit
from heed.store import guidelines, items, projects
from heed.store.database import Store
from heed.store.projects import ProjectSettings
from heed.store.schema import SlotRow


def places(store: Store, project_id: int) -> dict[int, list[int]]:
    """The places of each item's wanted slots."""
    found: dict[int, list[int]] = {}
    statement = select(SlotRow.item_id, SlotRow.place).order_by(SlotRow.item_id, SlotRow.place)
    with store.read() as session:
        for item, place in session.execute(statement.where(SlotRow.kind == "wanted")):
            found.setdefault(item, []).append(place)
    return found


def test_what_is_created_is_found(store: Store) -> None:
    settings = ProjectSettings(
        per_item=3, gold_rate=0.1, repeat_rate=0.05, order="mixed", lease_seconds=60,
        pay_per_hour=18.5, currency="€", seed=-(2**63),
    )  # fmt: skip
    with store.write() as session:
        made = projects.create(session, "tea, 中文 ☕", settings)
        projects.create(session, "second")
    with store.read() as session:
        assert projects.find(session, made.name) == made == projects.get(session, made.id)
        assert made.settings == settings
        assert projects.find(session, "nothing") is None
        assert [each.name for each in projects.listing(session)] == [made.name, "second"]
        with pytest.raises(ValueError, match="no project"):
            projects.get(session, 99)


@pytest.mark.parametrize(
    "wrong",
    [
        {"per_item": 0}, {"per_item": 1001}, {"gold_rate": -0.1}, {"gold_rate": 1.1},
        {"repeat_rate": math.nan}, {"gold_rate": 0.6, "repeat_rate": 0.5}, {"order": "best"},
        {"lease_seconds": 0}, {"pay_per_hour": -1}, {"pay_per_hour": math.inf},
        {"seed": 2**63}, {"seed": 0.5}, {"currency": "\x00"},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"`\w+`"):
        ProjectSettings(**wrong)


@pytest.mark.parametrize("name", ["", "x" * 101, "a\x00b", "\ud800"])
def test_names_that_are_no_good(store: Store, name: str) -> None:
    with store.write() as session, pytest.raises(ValueError, match="a project's name"):
        projects.create(session, name)


def test_a_name_is_taken_once(store: Store) -> None:
    with store.write() as session:
        projects.create(session, "tea")
        with pytest.raises(ValueError, match="'tea' already"):
            projects.create(session, "tea")
        projects.create(session, "Tea")
    with store.read() as session:
        assert len(projects.listing(session)) == 2


def test_more_annotators_an_item_make_more_slots(store: Store) -> None:
    made, _ = project(store, 3, gold=1)
    with store.write() as session:
        changed = projects.change(session, made.id, ProjectSettings(per_item=3, seed=5))
    assert changed.settings == ProjectSettings(per_item=3, seed=5)
    assert list(places(store, made.id).values()) == [[0, 1, 2]] * 3


def test_fewer_annotators_keep_what_is_labelled_or_leased(store: Store) -> None:
    made, (ann, bob) = project(store, 3, per_item=3)
    with store.write() as session:
        for person in (ann, bob):
            task = next_task(session, made, person)
            assert task is not None
            submit(session, made, person, task.lease, Answer(3), key="a")
        leased = next_task(session, made, ann)
        assert leased is not None
    with store.write() as session:
        less = projects.change(session, made.id, ProjectSettings(per_item=1))
    assert sorted(map(len, places(store, made.id).values())) == [1, 1, 2]
    with store.write() as session:
        submit(session, less, ann, leased.lease, Answer(3), key="b")
        assert progress(session, less, bob).wanted == 4
        projects.change(session, made.id, ProjectSettings(per_item=2))
    assert list(map(len, places(store, made.id).values())) == [2, 2, 2]


def test_guidelines_count_up(store: Store) -> None:
    made, _ = project(store)
    with store.write() as session:
        assert guidelines.latest(session, made.id) is None
        assert guidelines.latest_version(session, made.id) is None
        first = guidelines.publish(session, made.id, "# Be kind\n\n中文")
        assert guidelines.publish(session, made.id, first.text) == first
        second = guidelines.publish(session, made.id, "# Be kinder")
    with store.read() as session:
        assert (first.version, second.version) == (1, 2)
        assert guidelines.latest(session, made.id) == second
        assert guidelines.latest_version(session, made.id) == 2
        assert guidelines.version(session, made.id, 1) == first
        with pytest.raises(ValueError, match="no version 3"):
            guidelines.version(session, made.id, 3)


@pytest.mark.parametrize("text", ["", "\x00", "x" * 200_001])
def test_guidelines_that_are_no_good(store: Store, text: str) -> None:
    made, _ = project(store)
    with store.write() as session, pytest.raises(ValueError, match="the guidelines"):
        guidelines.publish(session, made.id, text)


def test_guidelines_never_change(store: Store) -> None:
    from sqlalchemy import text

    made, _ = project(store)
    with store.write() as session:
        guidelines.publish(session, made.id, "one")
    for statement in ("UPDATE guideline SET body = 'x'", "DELETE FROM guideline"):
        with pytest.raises(DBAPIError, match="never changed"), store.write() as session:
            session.execute(text(statement))


def test_projects_do_not_mix(store: Store) -> None:
    tea, (ann, _) = project(store, 2)
    coffee, _ = project(store, 3, name="coffee", people=())
    with store.write() as session:
        for _ in range(2):
            task = next_task(session, tea, ann)
            assert task is not None
            submit(session, tea, ann, task.lease, Answer(3), key=str(task.lease))
        assert next_task(session, tea, ann) is None
        assert len(items.read_all(session, coffee.id)) == 3
        assert progress(session, coffee, ann).left == 3
