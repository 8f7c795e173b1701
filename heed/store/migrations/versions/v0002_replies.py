"""Replies that a server gave, and what its users think of each by itself.

Opinions are append-only; what a reply says never changes. Replies that nobody spoke of may go.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from heed.store.migrations.triggers import keep_columns, only_append

revision = "0002"
down_revision = "0001"

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make both tables, then the triggers."""
    op.create_table(
        "reply",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("messages", sa.JSON(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.CheckConstraint("place >= 0", name=op.f("ck_reply_place")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_reply_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reply")),
        sa.UniqueConstraint("name", "place", name=op.f("uq_reply_name_place")),
    )
    op.create_index("ix_reply_project", "reply", ["project_id", "id"])
    op.create_table(
        "opinion",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("reply_id", sa.Integer(), nullable=False),
        sa.Column("member_id", sa.Integer(), nullable=False),
        sa.Column("desirable", sa.Boolean(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("created", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["member_id"], ["member.id"], name=op.f("fk_opinion_member_id")),
        sa.ForeignKeyConstraint(["reply_id"], ["reply.id"], name=op.f("fk_opinion_reply_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_opinion")),
    )
    op.create_index("ix_opinion_reply", "opinion", ["reply_id"])
    only_append("opinion")
    keep_columns("reply", "project_id, name, place, prompt, messages, body, model, created")
