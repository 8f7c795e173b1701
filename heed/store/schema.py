"""The tables, and what the database itself forbids.

A change here needs a migration in `migrations/versions` and a new `REVISION`; a test holds both to
the same result. The triggers that make annotations and guidelines append-only, and keep what was
labelled as it was, stand in the migration, since no table object knows them.

A `slot` is one wanted label of an item. Every ordinary item has `per_item` of them from the start,
free until a member leases one; gold items, planned repeats and imported labels get a slot of their
own for one member. Its life: free (no member) -> leased (`leased_until`) -> done (`done_at`), and
after undo open again (both set). An annotation belongs to a slot and to that slot's member, so a
labelled slot can never pass to someone else.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

REVISION = "0002"
"""The migration that leaves the tables below."""
VERSION_TABLE = "heed_schema"
"""Where a database says which migration it has."""
LARGEST = "1.7976931348623157e308"
"""No number is larger; PostgreSQL takes NaN for larger, and infinity is."""


class Moment(TypeDecorator[datetime]):
    """A point in time: aware UTC in Python, `timestamptz` on PostgreSQL, UTC text on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Json = JSON(none_as_null=True)


def random_id() -> str:
    """64 random bits: an id that tells nothing and that nobody meets by accident."""
    return secrets.token_hex(8)


class Base(DeclarativeBase):
    """Constraints have names, so that a later migration can speak of them."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's hook
        str: Text(),
        float: Double(),
        datetime: Moment(),
    }


class ProjectRow(Base):
    """What is labelled under one set of rules.

    `ordinary` counts the items that are not gold, `wanted` their slots of kind "wanted". `uid`
    tells projects of the same name in different stores apart.
    """

    __tablename__ = "project"
    __table_args__ = (
        CheckConstraint("per_item BETWEEN 1 AND 1000", "per_item"),
        CheckConstraint("gold_rate >= 0 AND repeat_rate >= 0", "rates"),
        CheckConstraint("gold_rate + repeat_rate <= 1", "rates_sum"),
        CheckConstraint("queue_order IN ('random', 'disagreement', 'mixed')", "queue_order"),
        CheckConstraint("lease_seconds > 0", "lease_seconds"),
        CheckConstraint(f"pay_per_hour BETWEEN 0 AND {LARGEST}", "pay_per_hour"),
        CheckConstraint("ordinary >= 0 AND wanted >= 0", "counts"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[str] = mapped_column(unique=True, default=random_id)
    name: Mapped[str] = mapped_column(unique=True)
    per_item: Mapped[int]
    gold_rate: Mapped[float]
    repeat_rate: Mapped[float]
    queue_order: Mapped[str]
    lease_seconds: Mapped[int]
    pay_per_hour: Mapped[float]
    currency: Mapped[str]
    seed: Mapped[int] = mapped_column(BigInteger)
    ordinary: Mapped[int]
    wanted: Mapped[int]
    created: Mapped[datetime]


class GuidelineRow(Base):
    """One version of a project's guidelines; versions count from 1 and never change."""

    __tablename__ = "guideline"
    __table_args__ = (CheckConstraint("version >= 1", "version"),)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str]
    created: Mapped[datetime]


class ItemRow(Base):
    """A prompt to judge answers of. `digest` is of all that must not change, `rank` is random."""

    __tablename__ = "item"
    __table_args__ = (
        UniqueConstraint("project_id", "name"),
        UniqueConstraint("project_id", "id"),
        CheckConstraint("size >= 2", "size"),
        CheckConstraint("split IN ('train', 'heldout')", "split"),
        CheckConstraint(f"priority BETWEEN -{LARGEST} AND {LARGEST}", "priority"),
        Index(
            "ix_item_gold", "project_id", "rank", "id",
            sqlite_where=text("known IS NOT NULL"), postgresql_where=text("known IS NOT NULL"),
        ),
    )  # fmt: skip
    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    name: Mapped[str]
    prompt: Mapped[str]
    messages: Mapped[Any] = mapped_column(JSON, nullable=False)
    family: Mapped[str]
    split: Mapped[str]
    size: Mapped[int]
    known: Mapped[Any] = mapped_column(Json, nullable=True)
    priority: Mapped[float]
    rank: Mapped[float]
    digest: Mapped[str]


class AnswerRow(Base):
    """One answer of an item; `model` says who wrote it and is never shown to annotators."""

    __tablename__ = "answer"
    __table_args__ = (CheckConstraint("place >= 0", "place"),)
    item_id: Mapped[int] = mapped_column(ForeignKey("item.id"), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str]
    model: Mapped[str | None]


class MemberRow(Base):
    """Anyone who labels: a person, a judge, a simulated annotator."""

    __tablename__ = "member"
    __table_args__ = (CheckConstraint("role IN ('annotator', 'reviewer', 'owner')", "role"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str]
    source: Mapped[str]
    created: Mapped[datetime]


class InviteRow(Base):
    """A link that lets someone in, once; only the token's SHA-256 is here."""

    __tablename__ = "invite"
    __table_args__ = (
        CheckConstraint("role IN ('annotator', 'reviewer', 'owner')", "role"),
        CheckConstraint("(used IS NULL) = (member_id IS NULL)", "used_by"),
        CheckConstraint("used IS NULL OR revoked IS NULL", "one_end"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str]
    name: Mapped[str]
    created: Mapped[datetime]
    expires: Mapped[datetime]
    used: Mapped[datetime | None]
    revoked: Mapped[datetime | None]
    member_id: Mapped[int | None] = mapped_column(ForeignKey("member.id"))


class LoginRow(Base):
    """A member's session in a browser; only the token's SHA-256 is here."""

    __tablename__ = "login"
    __table_args__ = (Index("ix_login_member", "member_id"),)
    digest: Mapped[str] = mapped_column(primary_key=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("member.id"))
    created: Mapped[datetime]
    expires: Mapped[datetime]


FREE = text("member_id IS NULL")
OPEN = text("leased_until IS NOT NULL")
PENDING = text("leased_until IS NOT NULL AND done_at IS NULL AND kind = 'wanted'")


class SlotRow(Base):
    """One label that is wanted, or was given.

    `place` numbers an item's wanted slots, so there can be no more than were asked for. `turn`
    counts what the member was given, `answered` what the member said, both within the project.
    `shown` is the order of the answers as drawn, at `drawn_at`. `rank` and `priority` repeat the
    item's, so that the queue is one walk of an index. `handle` is what annotators see of a slot:
    ids are given in turn, so they would tell gold items and repeats from the others.
    """

    __tablename__ = "slot"
    __table_args__ = (
        ForeignKeyConstraint(["project_id", "item_id"], ["item.project_id", "item.id"]),
        UniqueConstraint("item_id", "member_id", "occasion"),
        UniqueConstraint("item_id", "place"),
        UniqueConstraint("id", "member_id"),
        CheckConstraint("kind IN ('wanted', 'gold', 'repeat', 'extra')", "kind"),
        CheckConstraint("(kind = 'wanted') = (place IS NOT NULL)", "place"),
        CheckConstraint("place >= 0", "place_sign"),
        CheckConstraint(f"priority BETWEEN -{LARGEST} AND {LARGEST}", "priority"),
        CheckConstraint("(kind = 'repeat') = (occasion > 0)", "occasion"),
        CheckConstraint("occasion >= 0", "occasion_sign"),
        CheckConstraint("kind = 'wanted' OR member_id IS NOT NULL", "personal"),
        CheckConstraint(
            "(member_id IS NULL) = (leased_until IS NULL AND done_at IS NULL)", "life"
        ),
        CheckConstraint("member_id IS NULL OR shown IS NOT NULL", "shown"),
        Index("ix_slot_free_rank", "project_id", "rank", "id",
              sqlite_where=FREE, postgresql_where=FREE),
        Index("ix_slot_free_priority", "project_id", "priority", "rank", "id",
              sqlite_where=FREE, postgresql_where=FREE),
        Index("ix_slot_pending", "project_id", "leased_until",
              sqlite_where=PENDING, postgresql_where=PENDING),
        Index("ix_slot_open", "project_id", "member_id", "id",
              sqlite_where=OPEN, postgresql_where=OPEN),
        Index("ix_slot_answered", "project_id", "member_id", "answered", unique=True),
    )  # fmt: skip
    id: Mapped[int] = mapped_column(primary_key=True)
    handle: Mapped[str] = mapped_column(unique=True, default=random_id)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    item_id: Mapped[int]
    kind: Mapped[str]
    place: Mapped[int | None]
    occasion: Mapped[int]
    member_id: Mapped[int | None] = mapped_column(ForeignKey("member.id"))
    drawn_at: Mapped[datetime | None]
    leased_until: Mapped[datetime | None]
    done_at: Mapped[datetime | None]
    turn: Mapped[int | None]
    answered: Mapped[int | None]
    shown: Mapped[Any] = mapped_column(Json, nullable=True)
    priority: Mapped[float]
    rank: Mapped[float]


class AnnotationRow(Base):
    """What was said of an item; rows are added, never changed or deleted (triggers see to it)."""

    __tablename__ = "annotation"
    __table_args__ = (
        ForeignKeyConstraint(["slot_id", "member_id"], ["slot.id", "slot.member_id"]),
        UniqueConstraint("slot_id", "revision"),
        UniqueConstraint("member_id", "key"),
        CheckConstraint("grade IN (1, 2, 3, 4, 5, 6, 7, 8)", "grade"),
        CheckConstraint(
            "grade IS NULL OR REPLACE(CAST(shown AS TEXT), ' ', '') IN ('[0,1]', '[1,0]')",
            "grade_of_two",
        ),
        CheckConstraint("CAST(ranking AS TEXT) LIKE '[%]'", "ranking"),
        CheckConstraint("CAST(shown AS TEXT) LIKE '[%]'", "shown"),
        CheckConstraint("undecided IN ('tie', 'both_bad', 'cannot_tell')", "undecided"),
        CheckConstraint(
            "(CASE WHEN grade IS NULL THEN 0 ELSE 1 END)"
            " + (CASE WHEN undecided IS NULL THEN 0 ELSE 1 END)"
            " + (CASE WHEN ranking IS NULL THEN 0 ELSE 1 END) = 1",
            "one_verdict",
        ),
        CheckConstraint(f"seconds BETWEEN 0 AND {LARGEST}", "seconds"),
        CheckConstraint("revision >= 0", "revision"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    slot_id: Mapped[int]
    member_id: Mapped[int] = mapped_column(ForeignKey("member.id"))
    revision: Mapped[int]
    grade: Mapped[int | None]
    undecided: Mapped[str | None]
    ranking: Mapped[Any] = mapped_column(Json, nullable=True)
    shown: Mapped[Any] = mapped_column(JSON, nullable=False)
    seconds: Mapped[float]
    guideline: Mapped[str]
    source: Mapped[str]
    rewrite: Mapped[str]
    tags: Mapped[Any] = mapped_column(JSON, nullable=False)
    comment: Mapped[str]
    ui: Mapped[str]
    key: Mapped[str | None]
    created: Mapped[datetime]


class DraftRow(Base):
    """A rewrite in the making, kept while the member holds the slot."""

    __tablename__ = "draft"
    slot_id: Mapped[int] = mapped_column(ForeignKey("slot.id"), primary_key=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("member.id"), primary_key=True)
    body: Mapped[str]
    saved: Mapped[datetime]


class StandingRow(Base):
    """How far a member is in a project; its row lock is what makes a member do one thing at a time.

    `drawn` counts slots given, `said` submissions, `labels` slots done, `wanted_done` those of
    kind "wanted". Free slots are walked on from `rank_from` or `priority_from`, where the last walk
    ended; what became free behind it comes when nothing is left ahead.
    """

    __tablename__ = "standing"
    __table_args__ = (
        CheckConstraint("drawn >= 0 AND said >= 0", "counts"),
        CheckConstraint("wanted_done >= 0 AND labels >= wanted_done", "labels"),
    )
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"), primary_key=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("member.id"), primary_key=True)
    drawn: Mapped[int]
    said: Mapped[int]
    labels: Mapped[int]
    wanted_done: Mapped[int]
    rank_from: Mapped[float]
    priority_from: Mapped[float | None]


class HandoverRow(Base):
    """A member who held this slot and lost it, or gave it back."""

    __tablename__ = "handover"
    slot_id: Mapped[int] = mapped_column(ForeignKey("slot.id"), primary_key=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("member.id"), primary_key=True)
    at: Mapped[datetime]


class ReplyRow(Base):
    """An answer that a server gave, so that feedback can speak of it by the response's name."""

    __tablename__ = "reply"
    __table_args__ = (
        UniqueConstraint("name", "place"),
        CheckConstraint("place >= 0", "place"),
        Index("ix_reply_project", "project_id", "id"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id"))
    name: Mapped[str]
    place: Mapped[int]
    prompt: Mapped[str]
    messages: Mapped[Any] = mapped_column(JSON, nullable=False)
    body: Mapped[str]
    model: Mapped[str]
    user: Mapped[str]
    created: Mapped[datetime]


class OpinionRow(Base):
    """What somebody thinks of one reply by itself; rows are added, and the last one holds."""

    __tablename__ = "opinion"
    __table_args__ = (Index("ix_opinion_reply", "reply_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    reply_id: Mapped[int] = mapped_column(ForeignKey("reply.id"))
    member_id: Mapped[int] = mapped_column(ForeignKey("member.id"))
    desirable: Mapped[bool]
    comment: Mapped[str]
    created: Mapped[datetime]


def table(rows: type[Base]) -> Table:
    """The bare table, for statements that are built once and run at every request.

    A statement on a mapped class, built anew each time, costs about seven times as much.
    """
    return cast(Table, rows.__table__)
