"""Alembic's entry: runs the revisions on the connection it is handed, inside its transaction."""

from __future__ import annotations

from alembic import context

from heed.store.schema import VERSION_TABLE, Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transactional_ddl=True,
    version_table=VERSION_TABLE,
)
context.run_migrations()
