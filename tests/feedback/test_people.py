"""People as a source: what a run brings into the store, also when it is done again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from heed.feedback.people import Page, PeopleSource, UnattendedPage, nobody
from heed.store import annotations as labels
from heed.store import guidelines, items, projects
from heed.store.database import Store
from heed.store.projects import ProjectSettings
from heed.types import Annotation, Item, Prompt

ITEM = Item("train-0", Prompt.of("q"), ("a", "b"))
SETTINGS = ProjectSettings(lease_seconds=900)
OTHERS = ProjectSettings(
    per_item=2, repeat_rate=0.1, order="mixed", lease_seconds=60, pay_per_hour=20.0, seed=3
)


@contextmanager
def desk(place: str, project: str) -> Iterator[Page]:
    """Two people who label the item as soon as the page is open."""
    store = Store.open(place)
    with store.write() as session:
        found = projects.find(session, project)
        assert found is not None
        for name in ("ada", "bob"):
            labels.add(session, found.id, [Annotation(ITEM.id, name, 2, source="people")])
    store.close()
    yield UnattendedPage("nowhere")


def asked(path: Path, settings: ProjectSettings, guideline: str) -> list[str]:
    """Ask for labels; returns whose came back."""
    source = PeopleSource(str(path), "run", settings, guideline, 0.5, desk, lambda _: None)
    return [said.annotator for said in source.ask([ITEM], lambda _: None)]


def in_force(path: Path) -> tuple[ProjectSettings, list[str]]:
    """The project's settings and all versions of its guidelines."""
    store = Store.open(path)
    with store.read() as session:
        project = projects.find(session, "run")
        assert project is not None
        assert items.read_all(session, project.id) == [ITEM]
        last = guidelines.latest(session, project.id)
        versions = range(1, last.version + 1 if last else 1)
        texts = [guidelines.version(session, project.id, number).text for number in versions]
    store.close()
    return project.settings, texts


def test_other_settings_and_guidelines_hold_when_it_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    for settings, guideline, texts in (
        (SETTINGS, "Be kind.", ["Be kind."]),
        (SETTINGS, "Be kind.", ["Be kind."]),
        (OTHERS, "Be brief.", ["Be kind.", "Be brief."]),
        (replace(OTHERS, currency="EUR"), "", ["Be kind.", "Be brief."]),
    ):
        assert asked(path, settings, guideline) == ["ada", "bob"]
        assert in_force(path) == (settings, texts)


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("labels.db", "labels.db"),
        ("postgresql://heed:S3CRET@db/heed", "postgresql://heed:***@db/heed"),
        (
            "postgresql://heed@db/heed?password=S3CRET&host=sockets",
            "postgresql://heed@db/heed?host=sockets",
        ),
    ],
)
def test_the_command_that_opens_the_page_shows_no_password(place: str, shown: str) -> None:
    with nobody(place, "run") as page:
        assert page.address == f"heed label --store {shown} --project run"
