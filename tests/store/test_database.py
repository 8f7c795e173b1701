"""Opening a store, its schema on both databases, and what a transaction promises."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from databases import address
from sqlalchemy import Engine, create_engine, insert, inspect, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from heed.errors import UserError
from heed.store import members
from heed.store.database import Store
from heed.store.schema import VERSION_TABLE, Base, MemberRow

CONSTRAINTS = {
    "checks": "get_check_constraints",
    "uniques": "get_unique_constraints",
    "keys": "get_foreign_keys",
    "indexes": "get_indexes",
    "primary": "get_pk_constraint",
}
OPENS = """
import sys
from heed.store import members
from heed.store.database import Store
store = Store.open(sys.argv[1])
with store.write() as session:
    members.enrol(session, sys.argv[2])
store.close()
"""


def engine_of(place: str) -> Engine:
    if "://" not in place:
        return create_engine(f"sqlite:///{place}")
    return create_engine(place.replace("postgresql://", "postgresql+psycopg://"))


def described(engine: Engine) -> dict[str, Any]:
    """Every constraint of every table, in an order that does not matter."""
    found = inspect(engine)

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in sorted(value.items())}
        return str(value)

    return {
        f"{table} {kind}": sorted(str(plain(row)) for row in rows)
        for table in sorted(found.get_table_names())
        if table != VERSION_TABLE
        for kind, method in CONSTRAINTS.items()
        for answer in [getattr(found, method)(table)]
        for rows in [answer if isinstance(answer, list) else [answer]]
    }


def test_migrations_end_where_the_models_are(kind: str, tmp_path: Path) -> None:
    migrated = address(kind, tmp_path, empty=True)
    Store.open(migrated).close()
    made = address(kind, tmp_path, empty=True)
    first, second = engine_of(migrated), engine_of(made)
    Base.metadata.create_all(second)
    with first.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, Base.metadata) == []
    # Alembic does not look at checks, nor at the conditions of indexes.
    assert described(first) == described(second)
    first.dispose()
    second.dispose()


def test_opening_twice_keeps_what_is_there(kind: str, tmp_path: Path) -> None:
    place = address(kind, tmp_path)
    for name in ("ann", "bob"):
        store = Store.open(place)
        with store.write() as session:
            members.enrol(session, name)
        store.close()
    store = Store.open(place)
    with store.read() as session:
        assert [member.name for member in members.listing(session)] == ["ann", "bob"]
    store.close()


def test_processes_that_open_an_empty_place_at_once(kind: str, tmp_path: Path) -> None:
    place = address(kind, tmp_path, empty=True)
    processes = [
        subprocess.Popen([sys.executable, "-c", OPENS, place, str(at)], stderr=subprocess.PIPE)
        for at in range(3)
    ]
    for process in processes:
        _, error = process.communicate(timeout=60)
        assert process.returncode == 0, error.decode()
    store = Store.open(place)
    with store.read() as session:
        assert {member.name for member in members.listing(session)} == {"0", "1", "2"}
    store.close()


def test_a_newer_schema_is_refused(kind: str, tmp_path: Path) -> None:
    place = address(kind, tmp_path)
    Store.open(place).close()
    engine = engine_of(place)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(UserError, match=r"schema 9999.*Upgrade Heed"):
        Store.open(place)


def test_a_database_of_something_else_is_left_alone(kind: str, tmp_path: Path) -> None:
    place = address(kind, tmp_path, empty=True)
    engine = engine_of(place)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE invoices (id INTEGER)"))
    with pytest.raises(UserError, match=r"something else.*'invoices'"):
        Store.open(place)
    assert inspect(engine).get_table_names() == ["invoices"]
    engine.dispose()


@pytest.mark.parametrize("content", [b"no database at all, but long enough " * 20, b"x"])
def test_a_file_that_is_no_database(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"Cannot open the store.*not a database"):
        Store.open(path)
    assert path.read_bytes() == content


def test_places_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Cannot open the store"):
        Store.open(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot open the store"):
        Store.open(tmp_path / "file" / "store.db")
    for place in ("mysql://me:secret@there/heed", "sqlite://", "sqlite:///:memory:", "://"):
        with pytest.raises(UserError) as refused:
            Store.open(place)
        assert "secret" not in str(refused.value)


def test_a_server_that_is_not_there() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(UserError, match="Cannot open the store") as refused:
        Store.open("postgresql://me:hunter2@127.0.0.1:1/heed?application_name=hunter2")
    assert "hunter2" not in str(refused.value)


def test_repr_hides_passwords() -> None:
    from sqlalchemy import make_url

    store = Store(make_url("postgresql+psycopg://me:hunter2@there/heed?password=hunter3"))
    assert "hunter" not in repr(store)
    assert "there/heed" in repr(store)
    store.close()


def test_a_path_with_odd_signs(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "50% of #1?.db"
    Store.open(path).close()
    assert path.is_file()


def test_sqlite_settings(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store.db")

    def pragma(session: Any, name: str) -> Any:
        return session.execute(text(f"PRAGMA {name}")).scalar()

    with store.write() as session:
        assert pragma(session, "journal_mode") == "wal"
        assert pragma(session, "synchronous") == 2
        assert pragma(session, "foreign_keys") == 1
        assert pragma(session, "busy_timeout") >= 60_000
    with store.write(durable=False) as session:
        assert pragma(session, "synchronous") == 1
    with store.write() as session:
        assert pragma(session, "synchronous") == 2
    store.close()


def test_postgres_settings(store: Store, kind: str) -> None:
    if kind == "sqlite":
        return
    with store.write() as session:
        assert session.execute(text("SHOW transaction_isolation")).scalar() == "read committed"
        assert session.execute(text("SHOW synchronous_commit")).scalar() == "on"
    with store.write(durable=False) as session:
        assert session.execute(text("SHOW synchronous_commit")).scalar() == "off"
    with store.write() as session:
        assert session.execute(text("SHOW synchronous_commit")).scalar() == "on"


def test_an_error_rolls_everything_back(store: Store) -> None:
    def twice() -> None:
        with store.write() as session:
            members.enrol(session, "ann")
            members.enrol(session, "ann")

    with pytest.raises(ValueError, match="taken"):
        twice()
    with store.read() as session:
        assert members.listing(session) == []


def test_reading_cannot_write(store: Store) -> None:
    row = {"name": "x", "role": "owner", "source": "", "created": datetime.now(UTC)}
    with pytest.raises(DBAPIError, match=r"(?i)read.?only"), store.read() as session:
        session.execute(insert(MemberRow), row)


def test_a_reader_sees_one_state(store: Store) -> None:
    with store.read() as reader:
        assert members.listing(reader) == []
        with store.write() as writer:
            members.enrol(writer, "ann")
        assert members.listing(reader) == []
    with store.read() as reader:
        assert len(members.listing(reader)) == 1


def test_write_inside_write_is_an_error_on_sqlite(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store.db")
    with store.write(), pytest.raises(RuntimeError, match="inside"), store.write():
        pass
    with store.write() as session:
        members.enrol(session, "ann")
    store.close()


def test_writers_wait_for_each_other(store: Store) -> None:
    """Read-modify-write in eight threads: no update is lost, nobody sees a lock."""
    with store.write() as session:
        members.enrol(session, "0")
    errors: list[BaseException] = []

    def count() -> None:
        try:
            for _ in range(15):
                with store.write() as session:
                    row = session.query(MemberRow).with_for_update().one()
                    row.name = str(int(row.name) + 1)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with store.read() as session:
        assert members.listing(session)[0].name == "120"


def test_a_store_opens_while_an_import_is_under_way(store: Store, kind: str) -> None:
    place = store._url.database if kind == "sqlite" else store._url.render_as_string(False)
    with store.write() as session:
        members.enrol(session, "ann")
        opening = threading.Thread(target=lambda: Store.open(str(place)).close())
        opening.start()
        opening.join(5)
        assert not opening.is_alive()


def test_foreign_keys_are_watched(store: Store) -> None:
    with pytest.raises(IntegrityError), store.write() as session:
        session.execute(text("INSERT INTO standing VALUES (7, 7, 0, 0, 0, 0, 0, 0)"))


def test_a_store_in_use_by_another_program_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = Store.open(path)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.4, other.execute, ("COMMIT",))
    release.start()
    with store.write() as session:
        members.enrol(session, "ann")
    release.join()
    other.close()
    store.close()
