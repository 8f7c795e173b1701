"""A real store with a project in it, and clients of its app."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from visitors import FREE, PROJECT, some_items, visitor_of

from heed.store import guidelines, items, projects
from heed.store.database import Store
from heed.store.projects import ProjectSettings
from heed.types import Item
from heed.web.app import create_app


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database to copy: migrations take longer than most tests."""
    path = tmp_path_factory.mktemp("store") / "feedback.db"
    Store.open(path).close()
    return path


@pytest.fixture
def new_store(empty_store: Path, tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Stores with a project and items, each in a file of its own, closed at the end."""
    opened: list[Store] = []

    def make(settings: ProjectSettings | None = None, given: list[Item] | None = None) -> Store:
        path = tmp_path / f"store-{len(opened)}.db"
        path.write_bytes(empty_store.read_bytes())
        store = Store.open(path)
        opened.append(store)
        with store.write() as session:
            project = projects.create(session, PROJECT, settings)
            items.add(session, project.id, some_items() if given is None else given)
            guidelines.publish(session, project.id, "# Rules\n\nBe *fair*.")
        return store

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def store(new_store: Callable[..., Store]) -> Store:
    """A store with `some_items`, two labels wanted of each."""
    return new_store(ProjectSettings(per_item=2))


@pytest.fixture
def app(store: Store) -> FastAPI:
    """The app of that store, with accounts."""
    return create_app(store, PROJECT, accounts=True, limits=FREE)


@pytest.fixture
def visitor(app: FastAPI) -> Iterator[Callable[..., TestClient]]:
    """Clients of the app who joined with a role under a name, or (None) did not."""
    with ExitStack() as opened:

        def make(role: str | None, name: str = "") -> TestClient:
            return opened.enter_context(visitor_of(app, role, name or f"some {role}"))

        yield make
