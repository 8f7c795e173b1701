"""Drafts: what a member had begun to write about a task."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.orm import Session

from heed.store.schema import DraftRow, table

DRAFT = table(DraftRow)
WHOSE = (DRAFT.c.slot_id == bindparam("slot"), DRAFT.c.member_id == bindparam("member"))
READ = select(DRAFT.c.body).where(*WHOSE)
FORGET = delete(DRAFT).where(*WHOSE)


def read(session: Session, slot_id: int, member_id: int) -> str:
    """What the member has written so far, or nothing."""
    whose = {"slot": slot_id, "member": member_id}
    return session.connection().execute(READ, whose).scalar() or ""


def write(session: Session, slot_id: int, member_id: int, text: str, now: datetime) -> None:
    """Keep what the member has written so far; no text leaves no draft."""
    forget(session, slot_id, member_id)
    if text:
        row = {"slot_id": slot_id, "member_id": member_id, "body": text, "saved": now}
        session.connection().execute(insert(DRAFT), row)


def forget(session: Session, slot_id: int, member_id: int) -> None:
    """There is no draft any more."""
    session.connection().execute(FORGET, {"slot": slot_id, "member": member_id})
