"""People as a source: items go into the store, annotations come back when enough are there.

Nothing here serves a page: the command line hands in a `Desk` that does, and people may as well
annotate on a server that somebody else started on the same store. So either side can be stopped
and started again: what was said stands in the store. A store whose server is away is waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from sqlalchemy import make_url

from heed.errors import Interrupted
from heed.feedback import queue
from heed.store import guidelines, items, projects
from heed.store.annotations import read_all
from heed.store.database import Store
from heed.store.projects import Project, ProjectSettings
from heed.store.reach import unreachable, why
from heed.types import Annotation, Item

Found = TypeVar("Found")


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
    """The desk of a run that serves no page itself: says how to open it, on whatever host."""
    yield UnattendedPage(f"heed label --store {without_password(place)} --project {project}")


def without_password(place: str) -> str:
    """A store's place as it may be shown."""
    if "://" not in place:
        return place
    url = make_url(place).difference_update_query(["password", "sslpassword"])
    return url.render_as_string(hide_password=True)


POLL_SECONDS = 0.5
AWAY_SECONDS = 2.0
"""Between two attempts at a store that is away; where packets are lost, each takes seconds too."""


@dataclass(frozen=True)
class PeopleSource:
    """Whoever opens the labelling page of `project` in the store at `place`.

    `enough` is the share of the wanted labels (every item by `settings.per_item` people) with
    which the wait is over; `announce` hears the page's address, and when the store is away.
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
        """Waits until enough labels are in, also while the store's server is away.

        Raises:
            Interrupted: on Ctrl-C; what was said by then stands in the store.
            UserError: the store cannot be opened to begin with.
        """
        store = Store.open(self.place)
        try:
            project = self._patiently(lambda: self._prepare(store, items))
            with self.desk(self.place, self.project) as page:
                self.announce(f"Waiting for people to compare answers: {page.address}")
                self._wait(store, project, len(items), page, progress)
            return self._patiently(lambda: _said(store, project))
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
            labels = self._patiently(lambda: _progress(store, project))
            progress(asked * labels.done // labels.wanted)
            if labels.done >= self.enough * labels.wanted:
                return
            page.keep_alive()
            time.sleep(POLL_SECONDS)

    def _patiently(self, ask: Callable[[], Found]) -> Found:
        """What the store says, however long it is away.

        `ask` may be done twice: whether the store has done what it was asked when it was lost,
        nobody knows.
        """
        gone: float | None = None
        while True:
            asked = time.monotonic()
            try:
                found = ask()
            except Exception as error:
                if not unreachable(error):
                    raise
                if gone is None:
                    gone = asked
                    self.announce(
                        f"The store {without_password(self.place)} is away ({why(error)}). "
                        "Waiting for it; labels that people were told are saved are kept."
                    )
                time.sleep(AWAY_SECONDS)
            else:
                if gone is not None:
                    away = time.monotonic() - gone
                    self.announce(f"The store is back after {away:.0f} seconds; going on.")
                return found


def _progress(store: Store, project: Project) -> queue.Progress:
    with store.read() as session:
        return queue.progress(session, project)


def _said(store: Store, project: Project) -> list[Annotation]:
    with store.read() as session:
        return read_all(session, project.id)
