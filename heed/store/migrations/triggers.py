"""Triggers: what is labelled, and what was said of it, never changes.

`create_triggers` makes those of revision 0001; a later revision that needs others of these drops
them and brings its own, and calls `only_append` and `keep_columns` for tables of its own.
"""

from __future__ import annotations

from alembic import op

APPEND_ONLY = ("annotation", "guideline", "answer")
FIXED = {
    "item": "project_id, name, prompt, messages, family, split, size, known, digest",
    "slot": "handle, project_id, item_id, occasion",
}
"""Columns that stay, in tables whose others may change."""
UNIQUE = {
    "annotation": ("slot_id, revision", "member_id, key"),
    "guideline": ("project_id, version",),
    "answer": ("item_id, place",),
    "reply": ("name, place",),
}
"""What else than the row's id is unique, in tables that nothing refers to."""
ADDED = "rows are added, never changed (constraint)"
KEPT = "these columns never change (constraint)"


def create_triggers() -> None:
    """Refuse what would change or remove a row, or make a label one of something else."""
    for table in APPEND_ONLY:
        only_append(table)
    for table, columns in FIXED.items():
        keep_columns(table, columns)


def only_append(table: str) -> None:
    """Rows of a table are added, never changed or removed."""
    # SQLite knows no TRUNCATE; its DELETE of all rows is seen by the trigger.
    create, more = (_on_sqlite, []) if _sqlite() else (_on_postgres, ["TRUNCATE"])
    create(table, ["UPDATE", "DELETE", *more], ADDED)


def keep_columns(table: str, columns: str) -> None:
    """These columns of a table never change."""
    create = _on_sqlite if _sqlite() else _on_postgres
    create(table, [f"UPDATE OF {columns}"], KEPT)


def _sqlite() -> bool:
    return bool(op.get_bind().dialect.name == "sqlite")


def _on_sqlite(table: str, events: list[str], refusal: str) -> None:
    # INSERT OR REPLACE removes the row that was there, unseen by the triggers of DELETE. Slots have
    # foreign keys against that, and no trigger: with one, an import takes half as long again.
    same = ["rowid = NEW.rowid", *map(_same, UNIQUE.get(table, ()))]
    replaces = f" WHEN EXISTS (SELECT 1 FROM {table} WHERE {' OR '.join(same)})"
    for event in [*events, *(["INSERT"] if table != "slot" else [])]:
        op.execute(
            f"CREATE TRIGGER {table}_no_{event.split()[0].lower()} BEFORE {event} ON {table}"
            f"{replaces if event == 'INSERT' else ''}"
            f" BEGIN SELECT RAISE(ABORT, '{table}: {refusal}'); END"
        )


def _same(columns: str) -> str:
    return "(" + " AND ".join(f"{name} = NEW.{name}" for name in columns.split(", ")) + ")"


def _on_postgres(table: str, events: list[str], refusal: str) -> None:
    op.execute(
        f"CREATE FUNCTION {table}_stays() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION '{table}: {refusal}'"
        " USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_stays BEFORE {' OR '.join(events)} ON {table}"
        f" FOR EACH STATEMENT EXECUTE FUNCTION {table}_stays()"
    )
