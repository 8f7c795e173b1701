"""What `heed label` says when it starts and when it ends: where to go, and what came in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heed.store.database import Store


@dataclass(frozen=True)
class Tally:
    """The wanted labels that are in, all that are wanted, and the arena's votes."""

    done: int
    wanted: int
    votes: int


def count(store: Store, name: str) -> Tally:
    """The tally of the project of this name, which is there."""
    from heed.feedback import queue
    from heed.store import annotations, projects
    from heed.web.aliases import ARENA
    from heed.web.arena import PROJECT

    with store.read() as session:
        project = projects.find(session, name)
        assert project is not None
        progress = queue.progress(session, project)
        arena = projects.find(session, PROJECT)
        said = annotations.read_all(session, arena.id) if arena else []
    return Tally(progress.done, progress.wanted, sum(one.source == ARENA for one in said))


def welcome(place: str, found: Tally, *, arena: bool) -> str:
    """Where to go; a project that wants no labels has the arena alone."""
    if not found.wanted:
        return (
            f"Ask the models side by side at {place}/arena (there are no items to compare). "
            "Ctrl-C stops; every vote is saved at once."
        )
    beside = f" Ask the models side by side at {place}/arena." if arena else ""
    return f"Compare answers at {place}/label.{beside} Ctrl-C stops; every label is saved at once."


def farewell(before: Tally, after: Tally, *, arena: bool) -> str:
    """What came in between two tallies, and whether there is more to do."""
    said = ["Stopped."]
    if after.wanted:
        said.append(
            f"{_counted(after.done - before.done, 'label')} came in; {after.done:,} of the "
            f"{after.wanted:,} that are wanted are there."
        )
    if arena:
        came = _counted(after.votes - before.votes, "vote")
        said.append(f"{came} came in; the arena has {after.votes:,}.")
    finished = after.done >= after.wanted and not arena
    said.append("That is all of them." if finished else "The same command goes on.")
    return " ".join(said)


def _counted(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number:,} {what}s"
