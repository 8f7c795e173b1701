"""What annotators are told, version by version."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import bindparam, func, insert, select
from sqlalchemy.orm import Session

from heed.store import projects
from heed.store.limits import GUIDELINE, checked
from heed.store.schema import GuidelineRow, table


@dataclass(frozen=True, slots=True)
class Guideline:
    """One version of a project's guidelines, in Markdown."""

    version: int
    text: str
    created: datetime


LATEST_VERSION = select(func.max(table(GuidelineRow).c.version)).where(
    table(GuidelineRow).c.project_id == bindparam("project")
)


def publish(session: Session, project_id: int, text: str) -> Guideline:
    """Put the next version in force; the same text again changes nothing.

    Raises:
        ValueError: the text is empty or too long.
    """
    checked(text, "the guidelines", GUIDELINE, empty=False)
    projects.lock(session, project_id)
    before = latest(session, project_id)
    if before is not None and before.text == text:
        return before
    guideline = Guideline(before.version + 1 if before else 1, text, datetime.now(UTC))
    session.execute(
        insert(GuidelineRow).values(
            project_id=project_id,
            version=guideline.version,
            body=text,
            created=guideline.created,
        )
    )
    return guideline


def latest(session: Session, project_id: int) -> Guideline | None:
    """The version in force."""
    statement = select(GuidelineRow).where(GuidelineRow.project_id == project_id)
    row = session.scalars(statement.order_by(GuidelineRow.version.desc()).limit(1)).one_or_none()
    return None if row is None else Guideline(row.version, row.body, row.created)


def latest_version(session: Session, project_id: int) -> int | None:
    """The number of the version in force."""
    return session.connection().execute(LATEST_VERSION, {"project": project_id}).scalar()


def version(session: Session, project_id: int, version: int) -> Guideline:
    """One version.

    Raises:
        ValueError: there is no such version.
    """
    row = session.get(GuidelineRow, (project_id, version))
    if row is None:
        raise ValueError(f"the guidelines have no version {version}")
    return Guideline(row.version, row.body, row.created)
