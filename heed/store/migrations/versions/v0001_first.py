"""The first schema: projects, items, members, slots, annotations.

Annotations, guidelines and answers are append-only: triggers refuse what would change or remove a
row. Of items and slots they refuse what would make a label one of something else.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from heed.store.migrations.triggers import create_triggers

revision = "0001"
down_revision = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make every table, then the triggers."""
    _member()
    _project()
    _guideline()
    _invite()
    _item()
    _login()
    _standing()
    _answer()
    _slot()
    _slot_indexes()
    _annotation()
    _draft()
    _handover()
    create_triggers()


def _where(condition: str) -> dict[str, Any]:
    """An index of the rows that fulfil a condition, on either database."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def _member() -> None:
    op.create_table(
        "member",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.CheckConstraint(
            "role IN ('annotator', 'reviewer', 'owner')", name=op.f("ck_member_role")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_member")),
        sa.UniqueConstraint("name", name=op.f("uq_member_name")),
    )


def _project() -> None:
    op.create_table(
        "project",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("per_item", sa.Integer(), nullable=False),
        sa.Column("gold_rate", sa.Double(), nullable=False),
        sa.Column("repeat_rate", sa.Double(), nullable=False),
        sa.Column("queue_order", sa.Text(), nullable=False),
        sa.Column("lease_seconds", sa.Integer(), nullable=False),
        sa.Column("pay_per_hour", sa.Double(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("ordinary", sa.Integer(), nullable=False),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.CheckConstraint(
            "queue_order IN ('random', 'disagreement', 'mixed')",
            name=op.f("ck_project_queue_order"),
        ),
        sa.CheckConstraint("gold_rate + repeat_rate <= 1", name=op.f("ck_project_rates_sum")),
        sa.CheckConstraint("gold_rate >= 0 AND repeat_rate >= 0", name=op.f("ck_project_rates")),
        sa.CheckConstraint("lease_seconds > 0", name=op.f("ck_project_lease_seconds")),
        sa.CheckConstraint(
            "pay_per_hour BETWEEN 0 AND 1.7976931348623157e308",
            name=op.f("ck_project_pay_per_hour"),
        ),
        sa.CheckConstraint("per_item BETWEEN 1 AND 1000", name=op.f("ck_project_per_item")),
        sa.CheckConstraint("ordinary >= 0 AND wanted >= 0", name=op.f("ck_project_counts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project")),
        sa.UniqueConstraint("name", name=op.f("uq_project_name")),
        sa.UniqueConstraint("uid", name=op.f("uq_project_uid")),
    )


def _guideline() -> None:
    op.create_table(
        "guideline",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_guideline_version")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_guideline_project_id")
        ),
        sa.PrimaryKeyConstraint("project_id", "version", name=op.f("pk_guideline")),
    )


def _invite() -> None:
    op.create_table(
        "invite",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("expires", MOMENT, nullable=False),
        sa.Column("used", MOMENT, nullable=True),
        sa.Column("revoked", MOMENT, nullable=True),
        sa.Column("member_id", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "role IN ('annotator', 'reviewer', 'owner')", name=op.f("ck_invite_role")
        ),
        sa.CheckConstraint("(used IS NULL) = (member_id IS NULL)", name=op.f("ck_invite_used_by")),
        sa.CheckConstraint("used IS NULL OR revoked IS NULL", name=op.f("ck_invite_one_end")),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_invite_member_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invite")),
        sa.UniqueConstraint("digest", name=op.f("uq_invite_digest")),
    )


def _item() -> None:
    op.create_table(
        "item",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("messages", sa.JSON(), nullable=False),
        sa.Column("family", sa.Text(), nullable=False),
        sa.Column("split", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("known", sa.JSON(), nullable=True),
        sa.Column("priority", sa.Double(), nullable=False),
        sa.Column("rank", sa.Double(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.CheckConstraint("split IN ('train', 'heldout')", name=op.f("ck_item_split")),
        sa.CheckConstraint("size >= 2", name=op.f("ck_item_size")),
        sa.CheckConstraint(
            "priority BETWEEN -1.7976931348623157e308 AND 1.7976931348623157e308",
            name=op.f("ck_item_priority"),
        ),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_item_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_item")),
        sa.UniqueConstraint("project_id", "name", name=op.f("uq_item_project_id_name")),
        sa.UniqueConstraint("project_id", "id", name=op.f("uq_item_project_id_id")),
    )
    op.create_index(
        "ix_item_gold", "item", ["project_id", "rank", "id"], **_where("known IS NOT NULL")
    )


def _login() -> None:
    op.create_table(
        "login",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("member_id", sa.Integer(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.Column("expires", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_login_member_id")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_login")),
    )
    op.create_index("ix_login_member", "login", ["member_id"])


def _standing() -> None:
    op.create_table(
        "standing",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("member_id", sa.Integer(), nullable=False),
        sa.Column("drawn", sa.Integer(), nullable=False),
        sa.Column("said", sa.Integer(), nullable=False),
        sa.Column("labels", sa.Integer(), nullable=False),
        sa.Column("wanted_done", sa.Integer(), nullable=False),
        sa.Column("rank_from", sa.Double(), nullable=False),
        sa.Column("priority_from", sa.Double(), nullable=True),
        sa.CheckConstraint("drawn >= 0 AND said >= 0", name=op.f("ck_standing_counts")),
        sa.CheckConstraint(
            "wanted_done >= 0 AND labels >= wanted_done", name=op.f("ck_standing_labels")
        ),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_standing_member_id")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_standing_project_id")
        ),
        sa.PrimaryKeyConstraint("project_id", "member_id", name=op.f("pk_standing")),
    )


def _answer() -> None:
    op.create_table(
        "answer",
        sa.Column("item_id", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=True),
        sa.CheckConstraint("place >= 0", name=op.f("ck_answer_place")),
        sa.ForeignKeyConstraint(["item_id"], ["item.id"], name=op.f("fk_answer_item_id")),
        sa.PrimaryKeyConstraint("item_id", "place", name=op.f("pk_answer")),
    )


def _slot() -> None:
    op.create_table(
        "slot",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("handle", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("item_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=True),
        sa.Column("occasion", sa.Integer(), nullable=False),
        sa.Column("member_id", sa.Integer(), nullable=True),
        sa.Column("drawn_at", MOMENT, nullable=True),
        sa.Column("leased_until", MOMENT, nullable=True),
        sa.Column("done_at", MOMENT, nullable=True),
        sa.Column("turn", sa.Integer(), nullable=True),
        sa.Column("answered", sa.Integer(), nullable=True),
        sa.Column("shown", sa.JSON(), nullable=True),
        sa.Column("priority", sa.Double(), nullable=False),
        sa.Column("rank", sa.Double(), nullable=False),
        sa.CheckConstraint("(kind = 'repeat') = (occasion > 0)", name=op.f("ck_slot_occasion")),
        sa.CheckConstraint("(kind = 'wanted') = (place IS NOT NULL)", name=op.f("ck_slot_place")),
        sa.CheckConstraint("place >= 0", name=op.f("ck_slot_place_sign")),
        sa.CheckConstraint(
            "priority BETWEEN -1.7976931348623157e308 AND 1.7976931348623157e308",
            name=op.f("ck_slot_priority"),
        ),
        sa.CheckConstraint(
            "kind = 'wanted' OR member_id IS NOT NULL", name=op.f("ck_slot_personal")
        ),
        sa.CheckConstraint(
            "kind IN ('wanted', 'gold', 'repeat', 'extra')", name=op.f("ck_slot_kind")
        ),
        sa.CheckConstraint(
            "(member_id IS NULL) = (leased_until IS NULL AND done_at IS NULL)",
            name=op.f("ck_slot_life"),
        ),
        sa.CheckConstraint("member_id IS NULL OR shown IS NOT NULL", name=op.f("ck_slot_shown")),
        sa.CheckConstraint("occasion >= 0", name=op.f("ck_slot_occasion_sign")),
        sa.ForeignKeyConstraint(
            ["project_id", "item_id"],
            ["item.project_id", "item.id"],
            name=op.f("fk_slot_project_id_item_id"),
        ),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_slot_member_id")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_slot_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_slot")),
        sa.UniqueConstraint("handle", name=op.f("uq_slot_handle")),
        sa.UniqueConstraint("id", "member_id", name=op.f("uq_slot_id_member_id")),
        sa.UniqueConstraint(
            "item_id", "member_id", "occasion", name=op.f("uq_slot_item_id_member_id_occasion")
        ),
        sa.UniqueConstraint("item_id", "place", name=op.f("uq_slot_item_id_place")),
    )


def _slot_indexes() -> None:
    op.create_index(
        "ix_slot_answered", "slot", ["project_id", "member_id", "answered"], unique=True
    )
    op.create_index(
        "ix_slot_free_priority",
        "slot",
        ["project_id", "priority", "rank", "id"],
        **_where("member_id IS NULL"),
    )
    op.create_index(
        "ix_slot_free_rank", "slot", ["project_id", "rank", "id"], **_where("member_id IS NULL")
    )
    op.create_index(
        "ix_slot_open",
        "slot",
        ["project_id", "member_id", "id"],
        **_where("leased_until IS NOT NULL"),
    )
    op.create_index(
        "ix_slot_pending",
        "slot",
        ["project_id", "leased_until"],
        **_where("leased_until IS NOT NULL AND done_at IS NULL AND kind = 'wanted'"),
    )


def _annotation() -> None:
    op.create_table(
        "annotation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("slot_id", sa.Integer(), nullable=False),
        sa.Column("member_id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("grade", sa.Integer(), nullable=True),
        sa.Column("undecided", sa.Text(), nullable=True),
        sa.Column("ranking", sa.JSON(), nullable=True),
        sa.Column("shown", sa.JSON(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("guideline", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("rewrite", sa.Text(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("ui", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("created", MOMENT, nullable=False),
        sa.CheckConstraint(
            "undecided IN ('tie', 'both_bad', 'cannot_tell')", name=op.f("ck_annotation_undecided")
        ),
        sa.CheckConstraint(
            "(CASE WHEN grade IS NULL THEN 0 ELSE 1 END)"
            " + (CASE WHEN undecided IS NULL THEN 0 ELSE 1 END)"
            " + (CASE WHEN ranking IS NULL THEN 0 ELSE 1 END) = 1",
            name=op.f("ck_annotation_one_verdict"),
        ),
        sa.CheckConstraint("grade IN (1, 2, 3, 4, 5, 6, 7, 8)", name=op.f("ck_annotation_grade")),
        sa.CheckConstraint(
            "grade IS NULL OR REPLACE(CAST(shown AS TEXT), ' ', '') IN ('[0,1]', '[1,0]')",
            name=op.f("ck_annotation_grade_of_two"),
        ),
        sa.CheckConstraint("CAST(ranking AS TEXT) LIKE '[%]'", name=op.f("ck_annotation_ranking")),
        sa.CheckConstraint("CAST(shown AS TEXT) LIKE '[%]'", name=op.f("ck_annotation_shown")),
        sa.CheckConstraint("revision >= 0", name=op.f("ck_annotation_revision")),
        sa.CheckConstraint(
            "seconds BETWEEN 0 AND 1.7976931348623157e308", name=op.f("ck_annotation_seconds")
        ),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_annotation_member_id")),
        sa.ForeignKeyConstraint(
            ["slot_id", "member_id"],
            ["slot.id", "slot.member_id"],
            name=op.f("fk_annotation_slot_id_member_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_annotation")),
        sa.UniqueConstraint("member_id", "key", name=op.f("uq_annotation_member_id_key")),
        sa.UniqueConstraint("slot_id", "revision", name=op.f("uq_annotation_slot_id_revision")),
    )


def _draft() -> None:
    op.create_table(
        "draft",
        sa.Column("slot_id", sa.Integer(), nullable=False),
        sa.Column("member_id", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("saved", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_draft_member_id")),
        sa.ForeignKeyConstraint(["slot_id"], ["slot.id"], name=op.f("fk_draft_slot_id")),
        sa.PrimaryKeyConstraint("slot_id", "member_id", name=op.f("pk_draft")),
    )


def _handover() -> None:
    op.create_table(
        "handover",
        sa.Column("slot_id", sa.Integer(), nullable=False),
        sa.Column("member_id", sa.Integer(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_handover_member_id")),
        sa.ForeignKeyConstraint(["slot_id"], ["slot.id"], name=op.f("fk_handover_slot_id")),
        sa.PrimaryKeyConstraint("slot_id", "member_id", name=op.f("pk_handover")),
    )
