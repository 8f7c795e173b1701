"""The arena's votes in a store, as a comparison that people have held already."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from heed.errors import UserError

if TYPE_CHECKING:
    from heed.evaluation.reading import Cast


def is_store(place: str) -> bool:
    """Whether a place is a database: an address, or a file of SQLite."""
    path = Path(place)
    if "://" in place:
        return True
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"


def arena_votes(place: str) -> Cast:
    """What was voted on the arena's page.

    Raises:
        UserError: the store has no arena, or nobody voted there.
    """
    from heed.evaluation.reading import PEOPLE, Cast
    from heed.evaluation.votes import votes_of
    from heed.store import annotations, items, projects
    from heed.store.database import Store, masked
    from heed.web.aliases import ARENA
    from heed.web.arena import PROJECT

    with closing(Store.open(place)) as store, store.read() as session:
        project = projects.find(session, PROJECT)
        if project is None:
            raise UserError(f"The store {masked(place)} holds no arena.")
        said = [each for each in annotations.read_all(session, project.id) if each.source == ARENA]
        votes = votes_of(PEOPLE, items.read_all(session, project.id), said)
    if not votes:
        raise UserError(f"Nobody has voted in the arena of {masked(place)} yet.")
    return Cast(votes)
