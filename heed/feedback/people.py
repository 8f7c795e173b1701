"""People as a source: items go into the store, annotations come back when enough are there.

Nothing here serves a page: the command line hands in a `Desk` that does, and people may as well
annotate on a server that somebody else started on the same store. So either side can be stopped
and started again: what was said stands in the store.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import make_url

from heed.errors import Interrupted
from heed.feedback import queue
from heed.store import guidelines, items, projects
from heed.store.annotations import read_all
from heed.store.database import Store
from heed.store.projects import Project, ProjectSettings
from heed.types import Annotation, Item


class Page(Protocol):
    """A labelling page that is being served."""

    @property
    def address(self) -> str: ...

    def keep_alive(self) -> None:
        """Start the server again where it has died."""
        ...


Desk = Callable[[str, str], AbstractContextManager[Page]]
"""Serves the labelling page of a project in the store at a place, while the block lasts."""


@dataclass(frozen=True)
class UnattendedPage:
    """A page that somebody else has to serve."""

    address: str

    def keep_alive(self) -> None:
        pass


@contextmanager
def nobody(place: str, project: str) -> Iterator[Page]:
    """The desk of who runs a recipe without the command line: says how to open the page."""
    yield UnattendedPage(f"heed label --store {without_password(place)} --project {project}")


def without_password(place: str) -> str:
    """A store's place as it may be shown."""
    if "://" not in place:
        return place
    url = make_url(place).difference_update_query(["password", "sslpassword"])
    return url.render_as_string(hide_password=True)


POLL_SECONDS = 0.5


@dataclass(frozen=True)
class PeopleSource:
    """Whoever opens the labelling page of `project` in the store at `place`.

    `enough` is the share of the wanted labels (every item by `settings.per_item` people) with
    which the wait is over; `announce` hears the page's address.
    """

    place: str
    project: str
    settings: ProjectSettings
    guideline: str
    enough: float
    desk: Desk
    announce: Callable[[str], None]

    name = "people"

    def ask(self, items: Sequence[Item], progress: Callable[[int], None]) -> list[Annotation]:
        """Waits until enough labels are in.

        Raises Interrupted on Ctrl-C: what was said by then stands in the store.
        """
        store = Store.open(self.place)
        try:
            project = self._prepare(store, items)
            with self.desk(self.place, self.project) as page:
                self.announce(f"Waiting for people to compare answers: {page.address}")
                self._wait(store, project, len(items), page, progress)
            with store.read() as session:
                return read_all(session, project.id)
        except KeyboardInterrupt as stop:
            raise Interrupted(
                "Stopped waiting for people; their answers so far are kept. The same command "
                "goes on."
            ) from stop
        finally:
            store.close()

    def account(self) -> dict[str, object]:
        return {"project": self.project}

    def _prepare(self, store: Store, asked: Sequence[Item]) -> Project:
        """The project with its items; the same call finds what an earlier one made.

        Other settings and guidelines than last time hold from now on; without any, those that were
        published stay in force.
        """
        with store.write() as session:
            project = projects.find(session, self.project)
            if project is None:
                project = projects.create(session, self.project, self.settings)
            elif project.settings != self.settings:
                project = projects.change(session, project.id, self.settings)
            if self.guideline:
                guidelines.publish(session, project.id, self.guideline)
            items.add(session, project.id, asked)
            return project

    def _wait(
        self,
        store: Store,
        project: Project,
        asked: int,
        page: Page,
        progress: Callable[[int], None],
    ) -> None:
        while True:
            with store.read() as session:
                labels = queue.progress(session, project)
            progress(asked * labels.done // labels.wanted)
            if labels.done >= self.enough * labels.wanted:
                return
            page.keep_alive()
            time.sleep(POLL_SECONDS)
